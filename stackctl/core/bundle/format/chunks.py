"""Cut model files where their content may change independently. Pure.

A GGUF file is cut after its header and at each tensor, so a revision that changed metadata only, or a few tensors,
shares every other chunk with the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

MAX_CHUNK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file's content.

    Attributes:
        stamp: identifies this state of the file.
        chunks: offset, size and SHA-256 of each piece, without gaps.
    """

    path: str
    size: int
    sha256: str
    stamp: str
    chunks: tuple[tuple[int, int, str], ...]


def list_chunks(size: int, cuts: Iterable[int] = ()) -> tuple[tuple[int, int], ...]:
    """Offset and length of each chunk of a file, in order, without gaps.

    Args:
        size: of the file, in bytes.
        cuts: offsets at which a chunk must begin; those outside the file are ignored.
    """
    inner = sorted({cut for cut in cuts if 0 < cut < size})
    bounds = [0, *inner, size]
    return tuple(
        (offset, min(MAX_CHUNK_BYTES, end - offset))
        for start, end in pairwise(bounds)
        for offset in range(start, end, MAX_CHUNK_BYTES)
    )
