"""Open what a bundle's plan names: a range of a file, a registry's blob, or bytes that the plan holds. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.docker.image_sources import ImageSources
from stackctl.adapters.files.content_hashes import read_range
from stackctl.core.bundle.pack.plan import Blob, FileRange, InMemory, RegistryBlob

if TYPE_CHECKING:
    import hashlib


def open_source(images: ImageSources, blob: Blob, offset: int, before: hashlib._Hash | None) -> Iterator[bytes]:
    """Bytes of a blob from an offset on.

    Args:
        before: digest of the bytes before the offset, for a source that is checked while it is read.

    Raises:
        BundleError: the source is not what it was when it was planned, or cannot be read.
    """
    source = blob.source
    if isinstance(source, InMemory):
        return iter((source.data[offset:],))
    if isinstance(source, FileRange):
        return read_range(Path(source.path), source.stamp, source.offset + offset, blob.size - offset)
    if isinstance(source, RegistryBlob):
        return images.open_blob(source.reference, source.digest, offset, before)
    raise TypeError(f"{blob.title} comes in the engine's order, not by name")
