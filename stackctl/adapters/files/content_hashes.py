"""Digests of large files, and a cache of them: a file that has not changed is not read again.

In: paths. Out: digests, and bytes that are still the hashed ones. Does I/O. A file is known again by device, inode,
size and both times. A digest is remembered only for a file that was left alone for a while, because two writes within
one tick of the clock look the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stackctl.adapters.files.site_files import save_text
from stackctl.adapters.files.streams import PIECE_BYTES, prefetch
from stackctl.core.bundle.format.chunks import MAX_CHUNK_BYTES, FileDigest, list_chunks
from stackctl.core.models.folder import WEIGHTS
from stackctl.core.models.gguf_walk import read_content
from stackctl.core.models.safetensors import SafetensorsError, parse_safetensors
from stackctl.errors import BundleError

SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class ContentHashes:
    """Digests of files, remembered in a folder.

    Attributes:
        folder: folder of the cache; made when needed.
        now_ns: gives the wall clock in nanoseconds, to compare with files' times.
    """

    folder: Path
    now_ns: Callable[[], int]

    def hash_model(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        """The digest of a model's file; one with weights, GGUF or safetensors, is cut at its header and tensors.

        Args:
            count: called with the number of bytes as they are read.

        Raises:
            BundleError: the file cannot be read, or changed meanwhile, or is no whole safetensors file.
            GGUFError: the file is no whole GGUF file.
        """
        return self._hash(path, count, _cut_model, f"tensors, {MAX_CHUNK_BYTES}")

    def hash_file(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        """The digest of any other file, in one piece.

        Raises:
            BundleError: the file cannot be read, or changed meanwhile.
        """
        return self._hash(path, count, lambda path: ((0, path.stat().st_size),), "whole")

    def _hash(
        self, path: Path, count: Callable[[int], None], cut: Callable[[Path], tuple[tuple[int, int], ...]], way: str
    ) -> FileDigest:
        stamp = read_stamp(path)
        cache = self._find(path, stamp, way)
        known = _load(cache, path, stamp)
        if known is not None:
            count(known.size)
            return known
        result = _hash_chunks(path, stamp, cut(path), count)
        if read_stamp(path) != stamp:
            raise BundleError(f"{path} changed while it was read.", "wait until it is complete, then pack again")
        if self._is_settled(path):
            save_text(cache, json.dumps({"size": result.size, "sha256": result.sha256, "chunks": result.chunks}))
        return result

    def _find(self, path: Path, stamp: str, way: str) -> Path:
        """Path where a digest is remembered: another one for other pieces, and for another version of ours."""
        name = hashlib.sha256(f"{path.resolve()}\0{stamp}\0{way}".encode(errors="surrogateescape")).hexdigest()
        return self.folder / f"{name[:32]}.json"

    def _is_settled(self, path: Path) -> bool:
        status = path.stat()
        return self.now_ns() - max(status.st_mtime_ns, status.st_ctime_ns) >= SETTLED_NS


def _load(cache: Path, path: Path, stamp: str) -> FileDigest | None:
    try:
        value = json.loads(cache.read_bytes())
        chunks = tuple((int(o), int(s), str(d)) for o, s, d in value["chunks"])
        return FileDigest(str(path), int(value["size"]), str(value["sha256"]), stamp, chunks)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cut_model(path: Path) -> tuple[tuple[int, int], ...]:
    if path.suffix == ".gguf":
        with path.open("rb") as file:
            content = read_content(file)
        return list_chunks(content.size_bytes, (content.data_start, *content.tensor_starts))
    if path.suffix != WEIGHTS:
        return list_chunks(path.stat().st_size)
    try:
        with path.open("rb") as file:
            header = parse_safetensors(file)
    except SafetensorsError as error:
        raise BundleError(f"{path}: {error}.", "copy or download it again") from error
    return list_chunks(header.size_bytes, (header.data_start, *header.tensor_starts))


def read_stamp(path: Path) -> str:
    """Text that tells this state of a file from every other.

    Raises:
        BundleError: the file cannot be looked at.
    """
    try:
        return _write_stamp(path.stat())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", f"check {path}") from error


def _write_stamp(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def read_range(path: Path, stamp: str, offset: int, size: int) -> Iterator[bytes]:
    """A range of a file that is as it was when it was hashed, from its first byte to its last.

    Raises:
        BundleError: the file changed since or meanwhile, or cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            _check_stamp(path, file.fileno(), stamp)
            file.seek(offset)
            while size and (piece := file.read(min(PIECE_BYTES, size))):
                size -= len(piece)
                yield piece
            # What was given is of the file as it is now; its size is part of the stamp.
            _check_stamp(path, file.fileno(), stamp)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", "check the disk, then pack again") from error


def _check_stamp(path: Path, descriptor: int, stamp: str) -> None:
    if _write_stamp(os.fstat(descriptor)) != stamp:
        raise BundleError(f"{path} changed since it was read for this pack.", "pack again")


def _hash_chunks(
    path: Path, stamp: str, chunks: tuple[tuple[int, int], ...], count: Callable[[int], None]
) -> FileDigest:
    """Hash a file in one pass, two digests side by side: of each chunk and of the whole."""
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
