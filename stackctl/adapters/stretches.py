"""Write long files in long aligned stretches, past the page cache where a disk without heads allows it.

Copying what is written into the page cache, and out of it again, takes as much of a core as hashing the same bytes,
and pushes the user's files out of memory. Stretches are written in threads while the next one is gathered.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from stackctl.adapters.disks import is_solid
from stackctl.adapters.durable_files import write_at

# What offsets, sizes and memory addresses of writes past the cache are multiples of, on every disk in use.
ALIGNMENT = 4096
STRETCH_BYTES = 1 << 20
# Stretches of a file on their way at a time: with one, the disk would wait whenever the next is handed over.
IN_FLIGHT = 2
# What a file system has against a direct write, not against the bytes; a full one may only be about to free some.
_UNFIT = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSPC)
_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class StretchWriter:
    """Writes a file that exists, from an offset on, for one thread.

    Attributes:
        written: bytes from that offset on that were handed to the disk or skipped; not yet synced.
    """

    def __init__(self, path: Path, offset: int, pool: ThreadPoolExecutor) -> None:
        """Open the file.

        Args:
            pool: writes the stretches; ``IN_FLIGHT`` of its threads are used at a time.

        Raises:
            OSError: the file cannot be opened for writing.
        """
        self.written = 0
        self._offset = self._begin = self._position = offset
        self._pool = pool
        self._jobs: deque[tuple[Future[None], mmap.mmap, int]] = deque()
        self._handle = os.open(path, _FLAGS)
        self._direct = _open_direct(path)
        self._free = [mmap.mmap(-1, STRETCH_BYTES) for _ in range(IN_FLIGHT)]
        self._gathering = mmap.mmap(-1, STRETCH_BYTES)

    def write(self, data: bytes | memoryview) -> None:
        """Write what follows.

        Raises:
            OSError: this or an earlier stretch could not be written.
        """
        view = memoryview(data)
        while view:
            # A byte lies as far from a multiple of the alignment in memory as in the file.
            index = self._position - (self._begin - self._begin % ALIGNMENT)
            size = min(len(view), STRETCH_BYTES - index)
            self._gathering[index : index + size] = view[:size]
            self._position += size
            view = view[size:]
            if index + size == STRETCH_BYTES:
                self._order()

    def skip(self, size: int) -> None:
        """Leave what is there already."""
        self.flush()
        self._begin = self._position = self._position + size
        self.written += size

    def flush(self) -> None:
        """Wait until everything is handed to the disk.

        Raises:
            OSError: a stretch could not be written.
        """
        if self._position > self._begin:
            self._order()
        while self._jobs:
            self._wait()

    def close(self) -> None:
        """Let go of the file; what was not flushed may be lost."""
        wait([job for job, _, _ in self._jobs])
        for handle in (self._handle, self._direct):
            if handle is not None:
                os.close(handle)

    def __enter__(self) -> StretchWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _order(self) -> None:
        """Have what was gathered written."""
        job = self._pool.submit(self._write_stretch, self._gathering, self._begin, self._position)
        self._jobs.append((job, self._gathering, self._position))
        self._begin = self._position
        if not self._free:
            self._wait()
        self._gathering = self._free.pop()

    def _wait(self) -> None:
        """Have the oldest stretch written."""
        job, buffer, end = self._jobs.popleft()
        job.result()
        self._free.append(buffer)
        self.written = end - self._offset

    def _write_stretch(self, buffer: mmap.mmap, begin: int, end: int) -> None:
        """Write whole blocks past the cache and what is left at both ends through it."""
        base = begin - begin % ALIGNMENT
        first = min(begin + -begin % ALIGNMENT, end)
        last = max(end - end % ALIGNMENT, first)
        view = memoryview(buffer)
        done = first + self._write_direct(view[first - base : last - base], first)
        write_at(self._handle, view[begin - base : first - base], begin)
        write_at(self._handle, view[done - base : end - base], done)

    def _write_direct(self, view: memoryview, offset: int) -> int:
        """How many bytes went past the cache; the rest goes through it."""
        done = 0
        try:
            while self._direct is not None and done < len(view) and done % ALIGNMENT == 0:
                done += os.pwrite(self._direct, view[done:], offset + done)
        except OSError as error:
            if error.errno not in _UNFIT:
                raise
        return done


def _open_direct(path: Path) -> int | None:
    """A descriptor that goes past the cache, where there is such a thing and it is known to be faster."""
    if not is_solid(path):
        return None
    try:
        return os.open(path, _FLAGS | os.O_DIRECT)
    except OSError:
        return None


class ManyWriter:
    """Writes the same bytes at several places, for one thread, through the page cache.

    Attributes:
        written: bytes at each place that were handed to the disk; not yet synced.
    """

    def __init__(self, places: Iterable[tuple[Path, int]]) -> None:
        """Open the files, each once: there may be more places than files that a process may open.

        Args:
            places: a file that exists, and an offset.

        Raises:
            OSError: a file cannot be opened for writing.
        """
        self.written = 0
        self._handles: dict[Path, int] = {}
        self._places = tuple(places)
        try:
            for path, _ in self._places:
                if path not in self._handles:
                    self._handles[path] = os.open(path, _FLAGS)
        except OSError:
            self.close()
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Write what follows, everywhere.

        Raises:
            OSError: it could not be written.
        """
        for path, offset in self._places:
            write_at(self._handles[path], data, offset + self.written)
        self.written += len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Let go of the files."""
        for handle in self._handles.values():
            os.close(handle)

    def __enter__(self) -> ManyWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
