"""The adapters of model files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from stackctl.adapters.models import gguf, model_store
from stackctl.core.download.transfer import Reply
from stackctl.operations.models.folder import StoreEffects


def build_store_effects() -> StoreEffects:
    """The real adapters of model files; the HTTP client is made when the first request needs it."""
    return StoreEffects(
        open_reply=_open_reply,
        hold_download=model_store.hold_download,
        open_partial=model_store.open_partial,
        compute_sha256=model_store.compute_sha256,
        copy_file=model_store.copy_file,
        place_file=model_store.place_file,
        load_header=gguf.load_gguf,
        load_size=model_store.load_size,
        load_free_bytes=model_store.load_free_bytes,
        list_files=model_store.list_files,
        is_same_file_system=model_store.is_same_file_system,
    )


def _open_reply(
    ca_bundle: Path | None, method: str, url: str, headers: Mapping[str, str]
) -> AbstractContextManager[Reply]:
    from stackctl.adapters.http.download import open_reply

    return open_reply(ca_bundle, method, url, headers)
