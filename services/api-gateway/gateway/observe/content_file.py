"""The file of prompts and answers: lines are added, and the oldest are removed by size and by age. Does I/O: files.

``content.jsonl`` is written; a part that is full or a day old is renamed to ``content.<time of its first line>.jsonl``.
Several processes write at once: whoever holds the lock of the file that has the name now may write, rename or remove.
"""

from __future__ import annotations

import calendar
import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

FILE_NAME = "content.jsonl"
_PARTS = 8
_DAY_S = 86_400.0
_STAMP = "%Y%m%dT%H%M%S"


class ContentFile:
    """The file in one folder.

    Args:
        folder: the state's, which is there.
        keep_days: age of the oldest line.
        keep_mb: size of everything, in units of 1,000,000 bytes.
    """

    def __init__(self, folder: Path, keep_days: int, keep_mb: int) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._most_bytes = keep_mb * 1_000_000
        self._oldest_s = keep_days * _DAY_S

    def append(self, line: bytes, now: float) -> None:
        """Add one line.

        Raises:
            OSError: it cannot be written; nothing of it was.
        """
        while not self._append_here(line, now):
            pass  # another process, or this one, has just renamed it
        self._remove_oldest(now)

    def remove_old(self, now: float) -> None:
        """Remove what is older than it may be; called from time to time, also when nothing is written any more."""
        with self._lock(0) as file:
            if file is not None and now - _read_begin(file) > _DAY_S:
                self._rename(_read_begin(file))
        self._remove_oldest(now)

    def _append_here(self, line: bytes, now: float) -> bool:
        with self._lock(os.O_CREAT) as file:
            if file is None:
                return False
            size = os.fstat(file).st_size
            if size and (size + len(line) > self._most_bytes // _PARTS or now - _read_begin(file) > _DAY_S):
                self._rename(_read_begin(file))
                return False
            _write(file, line, size)
            return True

    def _remove_oldest(self, now: float) -> None:
        parts = sorted(self._folder.glob("content.*.jsonl"))
        sizes = {}
        for part in (*parts, self._path):
            with suppress(OSError):
                sizes[part] = part.stat().st_size
        for part in parts:
            begun = _read_stamp(part.name)
            is_too_old = begun is not None and now - begun > self._oldest_s
            if is_too_old or sum(sizes.values()) > self._most_bytes:
                part.unlink(missing_ok=True)
                sizes.pop(part, None)

    @contextmanager
    def _lock(self, flags: int) -> Iterator[int | None]:
        """The file, locked; None where it has lost its name meanwhile, or is not there and not to be made."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
        except FileNotFoundError:
            yield None
            return
        try:
            os.fchmod(file, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file if self._is_named(file) else None
        finally:
            os.close(file)

    def _is_named(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def _rename(self, begun: float) -> None:
        stamp = time.strftime(_STAMP, time.gmtime(begun))
        number = 0
        while (part := self._folder / f"content.{stamp}.{number:03}.jsonl").exists():
            number += 1
        self._path.rename(part)


def _read_begin(file: int) -> float:
    """When the first line was written; where it says nothing, the last one."""
    try:
        return datetime.fromisoformat(json.loads(os.pread(file, 64, 0).split(b",")[0] + b"}")["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return os.fstat(file).st_mtime


def _read_stamp(name: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(name.split(".")[1], _STAMP)))
    except ValueError:
        return None


def _write(file: int, line: bytes, size: int) -> None:
    """All of the line, or nothing: of a full disk half a line is taken back."""
    try:
        if os.write(file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise
