"""Log files that grow and now and then are replaced by an empty one: their end, and what is added. Reads only."""

from __future__ import annotations

from pathlib import Path

_BLOCK_BYTES = 65_536
# An engine says where its model is within its first 250 lines.
START_LINES = 2_000


def read_tail(path: Path, lines: int) -> str:
    """The last lines of a text file, reading back from its end; empty when there is none."""
    if lines < 1:
        return ""
    data = b""
    try:
        with path.open("rb") as file:
            position = file.seek(0, 2)
            # One more line end than lines wanted: the first of the lines is whole only then.
            while position > 0 and data.count(b"\n") <= lines:
                step = min(_BLOCK_BYTES, position)
                position = file.seek(position - step)
                data = file.read(step) + data
    except FileNotFoundError:
        return ""
    whole = data.removesuffix(b"\n").split(b"\n")
    return b"\n".join(whole[-lines:]).decode(errors="replace")


def read_from_mark(path: Path, mark: str) -> str:
    """The lines after the newest one that begins with ``mark``, ``START_LINES`` at most; empty when none does.

    Looks through the rotated files, ``path`` with ``.1`` and so on, the higher the older, and reads on into newer ones.
    """
    newer: list[bytes] = []
    for file in [path, *sorted(path.parent.glob(f"{path.name}.*"), key=_read_number)]:
        try:
            lines = file.read_bytes().splitlines()
        except OSError:  # it was rotated away meanwhile
            continue
        found = [index for index, line in enumerate(lines) if line.startswith(mark.encode())]
        if found:
            return b"\n".join([*lines[found[-1] + 1 :], *newer][:START_LINES]).decode(errors="replace")
        newer = [*lines[:START_LINES], *newer][:START_LINES]
    return ""


def _read_number(path: Path) -> int:
    return int(path.suffix[1:]) if path.suffix[1:].isdecimal() else 0


class LogTail:
    """A log file that is followed.

    Args:
        name: name that the file's lines are shown under.
        lines: how many of the lines that are there already come first.
    """

    def __init__(self, path: Path, name: str, lines: int) -> None:
        self.name = name
        self._path = path
        self._backlog = read_tail(path, lines).splitlines()
        self._inode, self._offset = self._find_end()
        self._partial = b""

    def read_new(self) -> list[str]:
        """Whole lines written since the last call."""
        fresh, self._backlog = self._backlog, []
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return fresh
        self._offset += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        return fresh + [line.decode(errors="replace") for line in whole]

    def _find_end(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_ino, status.st_size
