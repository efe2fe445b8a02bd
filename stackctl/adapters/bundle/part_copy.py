"""Copy members of parts into staging, several at a time: each thread reads, hashes and writes one of them.

In: members, their parts and their places in staging. Out: the files' bytes, and an error for each bad member. Does I/O.
A thread has one small buffer that stays in its core's cache, and the interpreter's lock is free in all three steps, so
hashing is never what a fast disk waits for. A disk that turns is read by one thread, from front to back.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Protocol

from stackctl.adapters.files.untrusted_files import open_regular
from stackctl.core.bundle.format.layout import BLOCK, build_header
from stackctl.core.bundle.format.members import member_path
from stackctl.core.bundle.load.plan import PartCopy, Wanted
from stackctl.errors import BundleError

PIECE_BYTES = 256 << 10
MAX_LANES = 4
_COPY_AGAIN = "copy this part again from the bundle's source"


class Target(Protocol):
    """What members are written to: a staging folder."""

    def find_start(self, content: Wanted) -> int: ...
    def write(self, content: Wanted, pieces: Iterable[bytes | memoryview], start: int = 0) -> None: ...
    def forget(self, content: Wanted) -> None: ...


def copy_members(
    staging: Target, copies: Sequence[PartCopy], count: Callable[[int], None]
) -> list[tuple[PartCopy, BundleError]]:
    """Write each member's data to its places.

    Args:
        count: called with the number of bytes written.

    Returns:
        Members that cannot be read or are wrong, each with its error, in the order given.

    Raises:
        BundleError: the disk that is written to is full or fails.
    """
    run = _Run(staging, count, iter(copies))
    lanes = _count_lanes({copy.path for copy in copies})
    with ThreadPoolExecutor(lanes, "copy") as pool:
        jobs = [pool.submit(run.work) for _ in range(lanes)]
        try:
            for job in jobs:
                job.result()
        finally:
            run.stopped.set()
    order = {copy.content.key: number for number, copy in enumerate(copies)}
    return sorted(run.failures, key=lambda item: order[item[0].content.key])


class _Stopped(Exception):
    """Another thread failed, or the user interrupted: what is half done stays noted as it is."""


@dataclass
class _Run:
    """What the copying threads share."""

    staging: Target
    count: Callable[[int], None]
    copies: Iterator[PartCopy]
    failures: list[tuple[PartCopy, BundleError]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        """Copy one member after another."""
        buffer = bytearray(PIECE_BYTES)
        try:
            while not self.stopped.is_set() and (copy := self._take()):
                self._copy(copy, buffer)
        except _Stopped:
            pass
        except BaseException:
            self.stopped.set()
            raise

    def _take(self) -> PartCopy | None:
        with self.lock:
            return next(self.copies, None)

    def _copy(self, copy: PartCopy, buffer: bytearray) -> None:
        start = self.staging.find_start(copy.content)
        self._count(start * len(copy.content.places))
        source = _Source(copy, start, buffer)
        try:
            self.staging.write(copy.content, self._watch(source, copy), start)
        except BundleError as error:
            if source.failure is None and not start:
                raise  # the disk that is written to, not the part
            if source.failure is None or source.is_wrong:
                self.staging.forget(copy.content)
            if start and (source.failure is None or source.is_wrong):
                # What an interrupted run had read of it may be what is wrong: once more, from its begin.
                self._count(-start * len(copy.content.places))
                self._copy(copy, buffer)
                return
            with self.lock:
                self.failures.append((copy, source.failure or error))

    def _watch(self, source: _Source, copy: PartCopy) -> Iterator[memoryview]:
        for piece in source:
            if self.stopped.is_set():
                raise _Stopped
            yield piece
            self._count(len(piece) * len(copy.content.places))

    def _count(self, size: int) -> None:
        with self.lock:
            self.count(size)


class _Source:
    """A member's data; it tells a failure to read from a failure to write.

    Attributes:
        failure: the error that reading ended with; None when it did not fail.
        is_wrong: whether the bytes are there and are not those of the manifest.
    """

    def __init__(self, copy: PartCopy, start: int, buffer: bytearray) -> None:
        self._copy, self._start, self._buffer = copy, start, memoryview(buffer)
        self.failure: BundleError | None = None
        self.is_wrong = False

    def __iter__(self) -> Iterator[memoryview]:
        try:
            with open_regular(self._copy.path) as file:
                yield from self._read(file)
        except BundleError as error:
            self.failure = error
            raise

    def _read(self, file: FileIO) -> Iterator[memoryview]:
        member = self._copy.member
        name = member_path(member)
        file.seek(member.offset - BLOCK)
        if file.read(BLOCK) != build_header(name, member.size):
            raise self._refuse(member.offset - BLOCK, f"the header of {name} is not there")
        os.posix_fadvise(file.fileno(), member.offset, member.size, os.POSIX_FADV_SEQUENTIAL)
        file.seek(member.offset + self._start)
        digest, left = hashlib.sha256(), member.size - self._start
        while left:
            size = file.readinto(self._buffer[: min(left, PIECE_BYTES)])
            if not size:
                raise self._refuse(file.tell(), f"the file ends within {name}")
            piece = self._buffer[:size]
            if not self._start:
                digest.update(piece)
            left -= size
            yield piece
        if not self._start and digest.hexdigest() != member.sha256:
            raise self._refuse(member.offset, f"the data of {name} is wrong (it hashes to {digest.hexdigest()})")

    def _refuse(self, offset: int, seen: str) -> BundleError:
        self.is_wrong = True
        return BundleError(f"{self._copy.path} does not match its manifest: at offset {offset}, {seen}.", _COPY_AGAIN)


def _count_lanes(paths: set[Path]) -> int:
    """Number of threads that may read at once from these files' disks."""
    if any(_has_heads(path) for path in paths):
        return 1
    return min(MAX_LANES, max(2, len(os.sched_getaffinity(0))))


def _has_heads(path: Path) -> bool:
    """Whether a file's disk has heads to move; one that does not say counts as one without.

    A virtual machine's disk calls itself rotational whatever lies below it.
    """
    try:
        device = path.stat().st_dev
        place = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
        files = (folder / "queue" / "rotational" for folder in (place, place.parent))
        says = next((file.read_text().strip() for file in files if file.is_file()), "")
    except OSError:
        return False
    is_virtual = any(part.startswith(("virtio", "vbd-", "vmbus")) for part in place.parts)
    return says == "1" and not is_virtual
