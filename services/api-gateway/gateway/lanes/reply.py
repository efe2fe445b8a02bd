"""What a lane asks of the client's side of a request. No I/O of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Reply(Protocol):
    """Takes one answer, in one piece or as a stream.

    Attributes:
        has_begun: whether the client has seen something: no other answer can take this one's place then.
        usage: what the server counted.
        warning: what the client should know of its answer, as a word; empty when there is nothing to say.
        target: name of the target that answers.
    """

    has_begun: bool
    warning: str
    target: str
    usage: Mapping[str, Any] | None

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream; the first one opens it."""

    def push(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun; False when the client is behind: ``write`` then waits for it."""
        ...

    async def end(self, data: bytes = b"") -> None:
        """End the stream with these last bytes."""

    async def whole(self, body: bytes) -> None:
        """Send a whole JSON answer."""
