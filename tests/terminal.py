"""A command at a terminal of its own, where a person types. Does I/O: a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import DEADLINE_S, wait_for

CTRL_C = "\x03"


class Terminal:
    """A running command and what its terminal shows."""

    def __init__(self, process: subprocess.Popen[bytes], main: int) -> None:
        self._process, self._main = process, main
        self._shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        """All of it so far."""
        return self._shown.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_text(self, text: str) -> None:
        """Wait until it shows this."""
        wait_for(lambda: text in self.shown or self._process.poll() is not None, f"'{text}'")
        self._settle()
        assert text in self.shown, f"it ended ({self._process.poll()}) without '{text}': {self.shown}"

    def type(self, keys: str) -> None:
        """What a person types."""
        os.write(self._main, keys.encode())

    def wait_end(self) -> int:
        """Its exit code."""
        code = self._process.wait(DEADLINE_S)
        self._settle()
        return code

    def _settle(self) -> None:
        """Where it has ended, have everything that it wrote."""
        if self._process.poll() is not None:
            self._reader.join(DEADLINE_S)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._main, 4096)
            except OSError:  # how Linux says that nobody writes any more
                return
            if not piece:
                return
            self._shown += piece


@contextmanager
def run_at_terminal(argv: Sequence[str], folder: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    """Run it until the end of the block."""
    main, other = pty.openpty()
    try:
        # A session of its own, whose terminal this is: Ctrl-C reaches it as it does a shell's command.
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv], cwd=folder, env=environment, stdin=other, stdout=other, stderr=other
        )
    finally:
        os.close(other)
    try:
        yield Terminal(process, main)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(main)
