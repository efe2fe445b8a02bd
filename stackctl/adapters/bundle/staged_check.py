"""Hash what lies in a staging folder, two contents at a time. Reads only."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stackctl.core.bundle.load.plan import Place, Wanted

# Stays in a core's cache.
PIECE_BYTES = 256 << 10
THREADS = 2


def find_wrong_contents(folder: Path, contents: Sequence[Wanted], count: Callable[[int], None]) -> tuple[Wanted, ...]:
    """The contents whose bytes, at one of their places, are gone or wrong.

    Args:
        count: called with the number of bytes read.

    Raises:
        OSError: the disk fails.
    """
    lock = threading.Lock()

    def is_right(content: Wanted) -> bool:
        right = all(_hash_place(folder, place, content.size) == content.sha256 for place in content.places)
        with lock:
            count(content.written_bytes)
        return right

    with ThreadPoolExecutor(THREADS, "hash") as pool:
        try:
            found = list(pool.map(is_right, contents))
        finally:
            pool.shutdown(cancel_futures=True)
    return tuple(content for content, right in zip(contents, found, strict=True) if not right)


def hash_range(folder: Path, place: Place, size: int) -> hashlib._Hash:
    """Digest of so many bytes at a place, of fewer where the file ends."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(PIECE_BYTES))
    with (folder / place.path).open("rb", buffering=0) as file:
        file.seek(place.offset)
        while size and (count := file.readinto(buffer[:size])):
            digest.update(buffer[:count])
            size -= count
    return digest


def _hash_place(folder: Path, place: Place, size: int) -> str:
    try:
        return hash_range(folder, place, size).hexdigest()
    except FileNotFoundError:
        return ""
