"""Model files that are there and whole, whatever their names."""

from __future__ import annotations

from pathlib import Path

from stackctl.core.models.files import ModelFile
from stackctl.core.models.gguf import GGUFHeader, build_shard_names
from tests.gguf_files import build_header


def build_model_files(path: Path) -> tuple[ModelFile, ...]:
    """The files of a model that is there and whole; what it is follows from its name."""
    names = build_shard_names(path.name)
    header = _DEMO if path.name == "demo.gguf" else build_header()
    if "embed" in path.name:
        header = build_header(architecture="bert", context_length=512, pooling_type=1)
    return tuple(
        ModelFile(str(path.parent / name), _split(header, number, len(names))) for number, name in enumerate(names)
    )


_DEMO = build_header(size_bytes=5_000_000, expected_bytes=5_000_000, tensor_bytes=4_900_000, context_length=2048)


def _split(header: GGUFHeader, number: int, count: int) -> GGUFHeader:
    changes = {"split_no": number, "split_count": count} if count > 1 else {}
    return build_header(**{name: getattr(header, name) for name in GGUFHeader.__slots__} | changes)
