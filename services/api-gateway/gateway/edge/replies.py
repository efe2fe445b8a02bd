"""Complete JSON answers of the gate: errors in OpenAI's and Anthropic's form.

In: values and errors. Out: bytes of the answer, or calls of the ASGI ``send`` that is passed in. No other I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from starlette.types import Send

Headers = Sequence[tuple[bytes, bytes]]

# Anthropic's error types by HTTP status; OpenAI's are coarser.
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True, slots=True)
class ApiError:
    """One error as a client sees it.

    Attributes:
        status: HTTP status of the answer.
        code: stable word for programs and for the log, such as ``model_not_found``.
        param: the request's parameter that is wrong; None when no single one is.
    """

    status: int
    code: str
    message: str
    param: str | None = None

    def build_body(self, is_anthropic: bool) -> bytes:
        """The JSON body, in Anthropic's form or in OpenAI's."""
        if is_anthropic:
            kind = _ANTHROPIC_TYPES.get(self.status, "api_error")
            return orjson.dumps({"type": "error", "error": {"type": kind, "message": self.message}})
        fallback = "invalid_request_error" if self.status < 500 else "server_error"
        kind = _OPENAI_TYPES.get(self.status, fallback)
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})


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
