"""Read a request's body, within its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ApiError, RefusedError

if TYPE_CHECKING:
    from gateway.edge.asgi import Message, Receive


class DisconnectedError(Exception):
    """The client left before its answer was complete."""


async def read_body(receive: Receive, declared: int | None, limit_bytes: int) -> bytes:
    """Read a request's whole body.

    Args:
        declared: value of the Content-Length header, None when the request has none.

    Raises:
        RefusedError: 413 when the body is larger than ``limit_bytes``; the rest of it is not read.
        DisconnectedError: the client left before the end of the body.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        if max(size, declared or 0) > limit_bytes:
            text = f"The request body is larger than {limit_bytes} bytes."
            raise RefusedError(ApiError(413, "request_too_large", text))
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if not message.get("more_body", False) and size <= limit_bytes:
            return b"".join(chunks)
