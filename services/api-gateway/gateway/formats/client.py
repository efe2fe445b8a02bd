"""What a lane asks of the client's format: chat chunks in, the client's answer out. Pure."""

from __future__ import annotations

from typing import Any, Protocol

from gateway.errors import ApiError


class ClientAnswer(Protocol):
    """Writes one answer in the client's format."""

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """One chat chunk as server-sent events of the client's format; may be empty."""

    def finish(self) -> bytes:
        """The closing events, after the last chunk."""

    def fail(self, error: ApiError) -> bytes:
        """A well-formed error event, after which the stream ends."""

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        """A whole chat completion as the client's whole answer."""
