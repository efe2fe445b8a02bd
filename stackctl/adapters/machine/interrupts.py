"""Signals that end a command: the first one interrupts it, and none interrupts the clean-up that follows.

Does I/O: sets this process's signal handlers. A command that is interrupted half-way through its clean-up leaves
processes that nothing knows of any more.

"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

# A service manager that stops us, or a closing terminal, is an interruption like Ctrl-C.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CLEANING = "still stopping what was started; Ctrl-\\ would leave it half done"
ENDING = "interrupted already, and ending; Ctrl-\\ would leave half-made files"

Handler = Callable[[int, FrameType | None], Any] | int | None


@contextmanager
def interrupt_once() -> Iterator[None]:
    """The first signal raises ``KeyboardInterrupt``; later ones get a line of text, because what runs then is clean-up.

    After an interruption signals are ignored: what is left is the way out of this process.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        _set_handlers(_decline_on_the_way_out)
        raise KeyboardInterrupt

    before = _set_handlers(interrupt)
    try:
        yield
    finally:
        if interrupted:
            _set_handlers(signal.SIG_IGN)
        else:
            _restore(before)


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let no signal interrupt the block: it is the clean-up after a failure. Main thread only."""
    before = _set_handlers(_decline)
    try:
        yield
    finally:
        _restore(before)


def _decline(number: int, frame: FrameType | None) -> None:
    _say(CLEANING)


def _decline_on_the_way_out(number: int, frame: FrameType | None) -> None:
    _say(ENDING)


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone
        os.write(2, f"\n{text}\n".encode())  # a stream's own buffer may be in use where the signal strikes


def _set_handlers(handler: Handler) -> dict[signal.Signals, Handler]:
    """Set a handler for every signal that is not ignored on purpose, as ``nohup`` and a shell's background do."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, current in before.items():
        if current is not signal.SIG_IGN:
            signal.signal(number, handler)
    return before


def _restore(handlers: dict[signal.Signals, Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
