"""What a client is told when it is not served, in OpenAI's form and in Anthropic's. Pure; imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

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
        retry_after_s: when another try is worth it; None when nobody said.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None

    def build_body(self, is_anthropic: bool) -> bytes:
        """The JSON body, in Anthropic's form or in OpenAI's."""
        if is_anthropic:
            kind = _ANTHROPIC_TYPES.get(self.status, "api_error")
            return orjson.dumps({"type": "error", "error": {"type": kind, "message": self.message}})
        fallback = "invalid_request_error" if self.status < 500 else "server_error"
        kind = _OPENAI_TYPES.get(self.status, fallback)
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})


class RefusedError(Exception):
    """The request is not served; ``error`` is the answer for the client."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.code)
        self.error = error
