"""Write a bundle's parts so that a killed pack goes on where it was, and a part that has its name is whole.

In: part plans and the sources of their bytes. Out: files in a working folder and each part's digest. Does I/O. A
journal beside the parts says what is safely on the disk; what it does not name is written again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.adapters.files.durable_files import FILE_MODE, set_mode, sync_folder, write_at
from stackctl.adapters.files.streams import PIECE_BYTES, HashThread, prefetch
from stackctl.core.bundle.format.layout import BLOCK, END, build_header, pad
from stackctl.core.bundle.pack.plan import Blob, EngineBlob, PartPlan
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError

# Twice this is lost in a crash at most: one range is being written while the one before it is synced.
SYNC_BYTES = 24 * 1024 * 1024
JOURNAL = "journal"

# From an offset on; given the digest of what comes before it, what follows is checked against the blob's own.
OpenBlob = Callable[[Blob, int, "hashlib._Hash | None"], Iterator[bytes]]
StreamLayers = Callable[[str, frozenset[str]], Iterator[tuple[str, int, Iterator[bytes]]]]


@dataclass(slots=True)
class Journal:
    """What is safely on the disk.

    Attributes:
        synced: bytes that are written, counted from the beginning: by part name for a part, by digest for a layer.
        finished: digest of each whole part, by part name.
    """

    path: Path
    synced: dict[str, int] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Journal:
        """Read what an earlier run wrote; a torn last line is ignored, as it is never needed."""
        journal = cls(path)
        with suppress(FileNotFoundError):
            for line in path.read_text().splitlines():
                with suppress(ValueError):
                    journal.take(*json.loads(line))
        return journal

    def take(self, name: str, value: int | str) -> None:
        """Remember one entry in memory."""
        if isinstance(value, int):
            self.synced[name] = value
        else:
            self.finished[name] = value

    def add(self, name: str, value: int | str) -> None:
        """Remember one entry in memory and in the file, for the next run."""
        self.take(name, value)
        with self.path.open("a") as file:
            file.write(json.dumps([name, value]) + "\n")
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class PartsWriter:
    """Writes parts into one folder.

    Attributes:
        folder: an existing folder that this pack alone uses.
        open_blob: gives a blob's bytes from an offset on.
        stream_layers: gives the layers of an image of the Docker engine, in the engine's order: digest, size, bytes.
    """

    folder: Path
    open_blob: OpenBlob
    stream_layers: StreamLayers
    transfer: Transfer

    def write_parts(self, parts: tuple[PartPlan, ...]) -> tuple[str, ...]:
        """Write what is not there yet; the digest of each part, in order.

        Raises:
            BundleError: a source does not hold what it held when it was hashed, or the disk is full.
        """
        journal = Journal.load(self.folder / JOURNAL)
        self._drop_stale(parts, journal)
        try:
            with ThreadPoolExecutor(1, "sync") as pool:
                self._place_layers(parts, journal, pool)
                return tuple(self._write_part(part, journal, pool) for part in parts)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            hint = "free some space and run the same command again: it goes on where it was"
            raise BundleError(f"The disk of {self.folder.parent} is full.", hint) from error

    def _drop_stale(self, parts: tuple[PartPlan, ...], journal: Journal) -> None:
        """Forget what the journal says of files that are not there any more."""
        for part in parts:
            path = self.folder / part.name
            if path.is_file() and path.stat().st_size == part.size:
                continue
            journal.finished.pop(part.name, None)
            if not path.with_name(f"{part.name}.tmp").is_file():
                for name in (part.name, *(f"sha256:{member.blob.sha256}" for member in part.members)):
                    journal.synced.pop(name, None)

    def _place_layers(self, parts: tuple[PartPlan, ...], journal: Journal, pool: ThreadPoolExecutor) -> None:
        """Put layers, which the Docker engine sends in its own order, straight to their final places."""
        places = {
            f"sha256:{member.blob.sha256}": (part, member)
            for part in parts
            if part.name not in journal.finished
            for member in part.members
            if isinstance(member.blob.source, EngineBlob)
        }
        images: dict[str, set[str]] = {}
        for digest, (_, member) in places.items():
            if isinstance(member.blob.source, EngineBlob) and journal.synced.get(digest, 0) < member.blob.size:
                images.setdefault(member.blob.source.reference, set()).add(digest)
        for reference, wanted in sorted(images.items()):
            for digest, _, pieces in self.stream_layers(reference, frozenset(wanted)):
                part, member = places[digest]
                path = self.folder / f"{part.name}.tmp"
                known = journal.synced.get(digest, 0)
                with _open_part(path) as file, _Syncer(file.handle, digest, known, journal, pool) as sync:
                    _place_layer(file, member.offset, sync, known, pieces)

    def _write_part(self, part: PartPlan, journal: Journal, pool: ThreadPoolExecutor) -> str:
        path = self.folder / part.name
        if part.name in journal.finished:
            self.transfer.skip(part.size)
            return journal.finished[part.name]
        partial = path.with_name(f"{part.name}.tmp")
        start = journal.synced.get(part.name, 0)
        with _open_part(partial) as file, HashThread() as digest:
            with _Syncer(file.handle, part.name, start, journal, pool) as sync:
                written = self._fill_part(self._list_pieces(file, part, start), file, digest, sync)
            if written != part.size:
                message = f"{part.name} has {written} bytes; {part.size} were planned."
                raise BundleError(message, "run the command again")
            os.ftruncate(file.handle, part.size)
            os.fsync(file.handle)
            sha256 = digest.finish()
        partial.replace(path)
        sync_folder(self.folder)
        journal.add(part.name, sha256)
        return sha256

    def _fill_part(
        self, pieces: Iterator[tuple[bytes, bool]], file: _PartFile, digest: HashThread, sync: _Syncer
    ) -> int:
        """Hash the part from its beginning and write what is missing, both at once; the size of the part in bytes."""
        position = 0
        for piece, is_there in prefetch(pieces):
            digest.add(piece)
            if is_there:
                self.transfer.skip(len(piece))
            else:
                write_at(file.handle, piece, position)
                self.transfer.add(len(piece))
            position += len(piece)
            sync.reach(position)
        return position

    def _list_pieces(self, file: _PartFile, part: PartPlan, start: int) -> Iterator[tuple[bytes, bool]]:
        """Bytes of the part in order, and whether each piece is in the file already."""
        for piece in file.read(0, start):
            yield piece, True
        for member in part.members:
            begin, size = member.offset, member.blob.size
            header = build_header(member.path, size)
            yield header[max(start - begin + BLOCK, 0) :], False
            done = min(max(start - begin, 0), size)
            if isinstance(member.blob.source, EngineBlob):
                for piece in file.read(begin + done, size - done):
                    yield piece, True
            elif done < size:
                before = hashlib.sha256()
                for piece in file.read(begin, done):
                    before.update(piece)
                yield from ((piece, False) for piece in self._read_blob(member.blob, done, before))
            padding = pad(size)
            yield bytes(padding)[min(max(start - begin - size, 0), padding) :], False
        yield END[max(start - part.size + len(END), 0) :], False

    def _read_blob(self, blob: Blob, offset: int, before: hashlib._Hash) -> Iterator[bytes]:
        count = offset
        for piece in self.open_blob(blob, offset, before):
            count += len(piece)
            yield piece
        if count != blob.size:
            message = f"{blob.title} gave {count} bytes; {blob.size} were expected."
            raise BundleError(message, "it was changed while it was packed: run the command again")


@dataclass(frozen=True, slots=True)
class _PartFile:
    handle: int

    def read(self, offset: int, size: int) -> Iterator[bytes]:
        end = offset + size
        while offset < end:
            piece = os.pread(self.handle, min(PIECE_BYTES, end - offset), offset)
            if not piece:
                raise BundleError("An unfinished part is shorter than its journal says.", "delete it and pack again")
            yield piece
            offset += len(piece)

    def __enter__(self) -> _PartFile:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.handle)


def _place_layer(file: _PartFile, offset: int, sync: _Syncer, known: int, pieces: Iterator[bytes]) -> None:
    """Write a layer to its place, from byte ``known`` of it on."""
    position = 0
    for piece in prefetch(pieces):
        there = min(max(known - position, 0), len(piece))
        write_at(file.handle, memoryview(piece)[there:], offset + position + there)
        position += len(piece)
        sync.reach(position)
    sync.finish(position)


def _open_part(path: Path) -> _PartFile:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    set_mode(handle, FILE_MODE)
    return _PartFile(handle)


@dataclass(slots=True)
class _Syncer:
    """Has the disk take written data in the background, and notes it in the journal once the disk has it."""

    handle: int
    name: str
    start: int
    journal: Journal
    pool: ThreadPoolExecutor
    _pending: Future[None] | None = None
    _asked: int = 0

    def reach(self, position: int) -> None:
        """Say that everything before ``position`` is written."""
        if position - max(self._asked, self.start) >= SYNC_BYTES:
            self.wait()
            self._asked = position
            self._pending = self.pool.submit(self._sync, position)

    def finish(self, position: int) -> None:
        """Sync the rest, and wait."""
        self.wait()
        self._sync(position)

    def wait(self) -> None:
        """Wait until the sync before this one has ended; so never more than two ranges are unsafe."""
        if self._pending is not None:
            self._pending.result()

    def __enter__(self) -> _Syncer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        # Whatever happened: once the file is closed its number may be another file's.
        with suppress(OSError) if kind else nullcontext():
            self.wait()

    def _sync(self, position: int) -> None:
        os.fdatasync(self.handle)
        self.journal.add(self.name, position)
