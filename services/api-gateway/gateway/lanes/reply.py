"""What a lane asks of the client's side of a request. No I/O of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.errors import ApiError


@dataclass(slots=True)
class Course:
    """What becomes of a request on its way over the servers, filled in as it goes.

    Attributes:
        provider: name of the provider that was asked last; empty before one was.
        tried: the tries that failed before the one that answered: names of targets, and codes of outcomes.
        spent: what servers counted for tries that failed.
        key_source: whose key it was asked with, ``caller`` or ``gateway``; empty where a route takes no other.
        queue_s: seconds in the queues of engines.
        first_at: time of the monotonic clock at which the first content of the answer came; None before.
        pieces: number of events with which the answer came so far.
    """

    provider: str = ""
    tried: tuple[tuple[str, str], ...] = ()
    spent: list[Mapping[str, Any]] = field(default_factory=list)
    key_source: str = ""
    queue_s: float = 0.0
    first_at: float | None = None
    pieces: int = 0


class Reply(Protocol):
    """Takes one answer, in one piece or as a stream.

    Attributes:
        has_begun: whether the client has seen something: no other answer can take this one's place then.
        usage: what the server counted.
        warning: what the client should know of its answer, as a word; empty when there is nothing to say.
        target: name of the target that answers.
        code: why an answer that had begun is unfinished, as an outcome's word.
        course: how the request fared at the servers.
        fail: writes an error into the stream, in the client's format; None before a stream can begin.
    """

    has_begun: bool
    warning: str
    target: str
    code: str
    course: Course
    usage: Mapping[str, Any] | None
    fail: Callable[[ApiError], bytes] | None

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream; the first one opens it."""

    def push(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun; False when the client is behind: ``write`` then waits for it."""
        ...

    async def end(self, data: bytes = b"") -> None:
        """End the stream with these last bytes."""

    async def whole(self, body: bytes) -> None:
        """Send a whole JSON answer."""
