"""Error answers as OpenAI, Anthropic and llama.cpp write them, each with a canary where its sentence is. Pure.

Source: OpenAI API reference (error codes); Anthropic API reference (errors); llama.cpp tools/server/README.md and
server.cpp (``format_error_response``, ``exceed_context_size_error``).
"""

from __future__ import annotations

import json
from typing import Any, Literal

from stackctl.core.drill.answers import CANARY
from stackctl.core.drill.behaviour import Behaviour

Style = Literal["openai", "anthropic", "llama"]
STYLES: tuple[Style, ...] = ("openai", "anthropic", "llama")
# Every status that the table of outcomes names, and some that fall under its "5xx".
STATUSES = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504, 529)
PROMPT_TOKENS, CONTEXT_TOKENS = 5012, 4096

_OPENAI = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "unsupported_country"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_ANTHROPIC = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_LLAMA = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 503: "unavailable_error"}


def build_refusal(status: int, style: Style = "openai", headers: tuple[tuple[str, str], ...] = ()) -> Behaviour:
    """A provider that refuses with this status, in the words and the form of this server."""
    sentence = f"{CANARY} says no to org-{CANARY} (status {status}), see https://platform.example/{CANARY}"
    is_client_fault = status < 500
    error: dict[str, Any]
    if style == "openai":
        kind, code = _OPENAI.get(status, ("invalid_request_error" if is_client_fault else "server_error", None))
        error = {"error": {"message": sentence, "type": kind, "param": None, "code": code}}
    elif style == "anthropic":
        kind = _ANTHROPIC.get(status, "invalid_request_error" if is_client_fault else "api_error")
        error = {"type": "error", "error": {"type": kind, "message": sentence}, "request_id": f"req_{CANARY}"}
    else:
        kind = _LLAMA.get(status, "invalid_request_error" if is_client_fault else "server_error")
        error = {"error": {"code": status, "message": sentence, "type": kind}}
    return _refuse(status, error, headers)


def build_overflow(style: Style = "llama") -> Behaviour:
    """A prompt that is longer than the model's context, as each server says it."""
    if style == "openai":
        sentence = (
            f"This model's maximum context length is {CONTEXT_TOKENS} tokens. However, your messages resulted in "
            f"{PROMPT_TOKENS} tokens. {CANARY}: please reduce the length of the messages."
        )
        code = "context_length_exceeded"
        return _refuse(
            400,
            {"error": {"message": sentence, "type": "invalid_request_error", "param": "messages", "code": code}},
        )
    if style == "anthropic":
        sentence = f"prompt is too long: {PROMPT_TOKENS} tokens > {CONTEXT_TOKENS} maximum {CANARY}"
        return _refuse(400, {"type": "error", "error": {"type": "invalid_request_error", "message": sentence}})
    sentence = (
        f"request ({PROMPT_TOKENS} tokens) exceeds the available context size ({CONTEXT_TOKENS} tokens), "
        f"try increasing it {CANARY}"
    )
    error = {
        "code": 400,
        "message": sentence,
        "type": "exceed_context_size_error",
        "n_prompt_tokens": PROMPT_TOKENS,
        "n_ctx": CONTEXT_TOKENS,
    }
    return _refuse(400, {"error": error})


def build_unread_content() -> Behaviour:
    """llama.cpp without a projector, asked about a picture: it calls that a failure of its own."""
    sentence = (
        f"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj {CANARY}"
    )
    return _refuse(500, {"error": {"code": 500, "message": sentence, "type": "server_error"}})


def build_loading() -> Behaviour:
    """llama.cpp while it loads its model."""
    return _refuse(503, {"error": {"code": 503, "message": f"Loading model {CANARY}", "type": "unavailable_error"}})


def _refuse(status: int, error: dict[str, Any], headers: tuple[tuple[str, str], ...] = ()) -> Behaviour:
    planted = (("x-request-id", CANARY), ("set-cookie", f"session={CANARY}"))
    return Behaviour(status=status, body=json.dumps(error).encode(), headers=(*planted, *headers))
