"""Digests of large files, and a cache of them: a file that has not changed is not read again.

A file is known again by device, inode, size and both times. A digest is remembered only for a file that was left
alone for a while, because two writes within one tick of the clock look the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stackctl.adapters.files import save_text
from stackctl.adapters.streams import PIECE_BYTES, prefetch
from stackctl.core.bundle.chunks import FileDigest, list_chunks
from stackctl.core.gguf_walk import read_content
from stackctl.errors import BundleError

SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class ContentHashes:
    """Digests, remembered in a folder.

    Attributes:
        folder: of the cache; made when needed.
        now_ns: the wall clock, to compare with files' times.
    """

    folder: Path
    now_ns: Callable[[], int]

    def hash_model(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        """The digest of a GGUF file, cut at its header and tensors.

        Args:
            count: told of bytes as they are read.

        Raises:
            BundleError: the file cannot be read, or changed meanwhile.
            GGUFError: it is no whole GGUF file.
        """
        return self._hash(path, count, _cut_model)

    def hash_file(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        """The digest of any other file, in one piece.

        Raises:
            BundleError: the file cannot be read, or changed meanwhile.
        """
        return self._hash(path, count, lambda path: ((0, path.stat().st_size),))

    def _hash(
        self, path: Path, count: Callable[[int], None], cut: Callable[[Path], tuple[tuple[int, int], ...]]
    ) -> FileDigest:
        stamp = read_stamp(path)
        known = self._load(path, stamp)
        if known is not None:
            count(known.size)
            return known
        result = _hash_chunks(path, stamp, cut(path), count)
        if read_stamp(path) != stamp:
            raise BundleError(f"{path} changed while it was read.", "wait until it is complete, then pack again")
        self._save(path, result)
        return result

    def _find(self, path: Path, stamp: str) -> Path:
        name = hashlib.sha256(f"{path.resolve()}\0{stamp}".encode()).hexdigest()
        return self.folder / f"{name[:32]}.json"

    def _load(self, path: Path, stamp: str) -> FileDigest | None:
        try:
            value = json.loads(self._find(path, stamp).read_bytes())
            chunks = tuple((int(o), int(s), str(d)) for o, s, d in value["chunks"])
            return FileDigest(str(path), int(value["size"]), str(value["sha256"]), stamp, chunks)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _save(self, path: Path, digest: FileDigest) -> None:
        status = path.stat()
        if self.now_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED_NS:
            return
        value = {"size": digest.size, "sha256": digest.sha256, "chunks": digest.chunks}
        save_text(self._find(path, digest.stamp), json.dumps(value))


def _cut_model(path: Path) -> tuple[tuple[int, int], ...]:
    with path.open("rb") as file:
        content = read_content(file)
    return list_chunks(content.size_bytes, (content.data_start, *content.tensor_starts))


def read_stamp(path: Path) -> str:
    """What tells this state of a file from every other.

    Raises:
        BundleError: it cannot be looked at.
    """
    try:
        return _write_stamp(path.stat())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", f"check {path}") from error


def _write_stamp(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def read_range(path: Path, stamp: str, offset: int, size: int) -> Iterator[bytes]:
    """A stretch of a file that is as it was when it was hashed.

    Raises:
        BundleError: it changed since, or cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            if _write_stamp(os.fstat(file.fileno())) != stamp:
                raise BundleError(f"{path} changed since it was read for this pack.", "pack again")
            file.seek(offset)
            while size:
                piece = file.read(min(PIECE_BYTES, size))
                if not piece:
                    return
                size -= len(piece)
                yield piece
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", "check the disk, then pack again") from error


def _hash_chunks(
    path: Path, stamp: str, chunks: tuple[tuple[int, int], ...], count: Callable[[int], None]
) -> FileDigest:
    """One pass, two digests side by side: of each chunk and of the whole."""
    whole, found, size = hashlib.sha256(), [], 0
    pieces = (
        (piece, index)
        for index, (offset, length) in enumerate(chunks)
        for piece in read_range(path, stamp, offset, length)
    )
    digests = [hashlib.sha256() for _ in chunks]
    with ThreadPoolExecutor(1) as pool:
        for piece, index in prefetch(pieces):
            job = pool.submit(whole.update, piece)
            digests[index].update(piece)
            job.result()
            size += len(piece)
            count(len(piece))
    for (offset, length), digest in zip(chunks, digests, strict=True):
        found.append((offset, length, digest.hexdigest()))
    return FileDigest(str(path), size, whole.hexdigest(), stamp, tuple(found))
