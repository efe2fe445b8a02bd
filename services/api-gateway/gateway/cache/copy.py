"""What a client is sent, collected while it is sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Listener(Protocol):
    """Is told what a client is sent."""

    def add(self, data: bytes) -> None:
        """A piece of the answer."""

    def end(self, facts: Mapping[str, Any]) -> None:
        """The answer has ended; ``facts`` is what the log says of it."""


class Copy:
    """The pieces of one answer, up to a number of bytes; what listened before goes on to."""

    __slots__ = ("_left", "_next", "_pieces")

    def __init__(self, limit_bytes: int, next_: Listener | None) -> None:
        self._pieces: list[bytes] = []
        self._left = limit_bytes
        self._next = next_

    def add(self, data: bytes) -> None:
        """See ``Listener``."""
        self._left -= len(data)
        if self._left >= 0:
            self._pieces.append(data)
        elif self._pieces:
            self._pieces.clear()
        if self._next is not None:
            self._next.add(data)

    def end(self, facts: Mapping[str, Any]) -> None:
        """See ``Listener``."""
        if self._next is not None:
            self._next.end(facts)

    def join(self) -> bytes | None:
        """The whole answer; None where it was longer."""
        return b"".join(self._pieces) if self._left >= 0 else None
