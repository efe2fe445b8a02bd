"""Cut model files where their content may change independently. Pure.

In: a file's size and the places to cut at. Out: offsets and lengths. A GGUF file is cut after its header and at each
tensor, so a revision that changed metadata only, or a few tensors, shares every other chunk with the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

MAX_CHUNK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The digest of a file's content, and of each piece of it.

    Attributes:
        stamp: text that tells this state of the file from every other.
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
        size: size of the file in bytes.
        cuts: offsets at which a chunk must begin; those outside the file are ignored.
    """
    inner = sorted({cut for cut in cuts if 0 < cut < size})
    bounds = [0, *inner, size]
    return tuple(
        (offset, min(MAX_CHUNK_BYTES, end - offset))
        for start, end in pairwise(bounds)
        for offset in range(start, end, MAX_CHUNK_BYTES)
    )
