"""Complete JSON answers of the gate, values and errors.

In: a value or an error. Out: calls of the ASGI ``send`` that is passed in. No other I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import ApiError

if TYPE_CHECKING:
    from starlette.types import Send

Headers = Sequence[tuple[bytes, bytes]]


async def send_json(send: Send, value: Any) -> None:
    """Send a value as JSON with status 200."""
    await send_body(send, 200, orjson.dumps(value), b"application/json")


async def send_error(send: Send, error: ApiError, is_anthropic: bool = False, headers: Headers = ()) -> None:
    """Send an error as JSON, with further headers such as ``allow``."""
    await send_body(send, error.status, error.build_body(is_anthropic), b"application/json", headers)


async def send_body(send: Send, status: int, body: bytes, content_type: bytes, headers: Headers = ()) -> None:
    """Send one whole answer: its head and its body."""
    start = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
