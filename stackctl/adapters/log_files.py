"""Log files that grow and are now and then replaced by an empty one: their end, and what is added to them."""

from __future__ import annotations

from pathlib import Path

_BLOCK_BYTES = 65_536


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


class LogTail:
    """A log file that is followed.

    Args:
        name: what its lines are shown under.
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
