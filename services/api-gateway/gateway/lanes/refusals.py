"""What a server's refusal means: status, headers and body to an outcome. Pure.

Nothing that a server says reaches a client but the numbers of an overflow and the name of a field of the request:
sentences may hold addresses, keys and prompts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.outcomes import (
    CONTEXT_LENGTH_EXCEEDED,
    INVALID_REQUEST,
    MODEL_LOADING,
    PROVIDER_LACKS_MODEL,
    PROVIDER_REFUSED_KEY,
    RATE_LIMITED,
    SERVER_ERROR,
    UNSUPPORTED_CONTENT,
    TargetError,
)

_CLIENT_STATUSES = frozenset({400, 413, 415, 422})
# OpenAI: "maximum context length is 8192 tokens. However, you requested 9000 tokens"; Anthropic: "prompt is too long:
# 210000 tokens > 200000 maximum"; vLLM like OpenAI.
_OPENAI_OVERFLOW = re.compile(r"maximum context length (?:is|of) (\d+).*?(\d+)\s+(?:input\s+)?tokens", re.DOTALL | re.I)
_ANTHROPIC_OVERFLOW = re.compile(r"prompt is too long: (\d+) tokens > (\d+)")
_LLAMA_INPUT = re.compile(r"input \((\d+) tokens\) is too large .*batch size: (\d+)", re.DOTALL)
# llama.cpp answers 500 where the request is what is wrong.
_LLAMA_CONTENT = ("mmproj", "image input", "audio input", "unsupported content", "failed to load image")
_LLAMA_REQUEST = ("too large to process", "missing tool name", "unsupported tool", "tool_choice", "cannot use tools",
                  "unsupported param", "invalid type", "parse grammar", "failed to parse", "json schema",
                  "please increase the physical batch size")  # fmt: skip


def classify_refusal(status: int, headers: Mapping[str, str], body: bytes) -> TargetError:
    """The outcome of an answer whose status is not 200."""
    details = read_error(body)
    message = str(details.get("message", ""))
    if status in _CLIENT_STATUSES:
        return find_overflow(details) or TargetError(INVALID_REQUEST, param=_read_param(details))
    if status in (401, 403):
        return TargetError(PROVIDER_REFUSED_KEY)
    if status in (404, 405):
        return TargetError(PROVIDER_LACKS_MODEL)
    if status == 429:
        return TargetError(RATE_LIMITED, retry_after_s=read_retry_after(headers))
    if status == 503 and "loading" in message.lower():
        return TargetError(MODEL_LOADING, retry_after_s=read_retry_after(headers))
    if status == 500 and (error := _find_request_fault(details, message.lower())):
        return error
    return TargetError(SERVER_ERROR, retry_after_s=read_retry_after(headers))


def _find_request_fault(details: Mapping[str, Any], message: str) -> TargetError | None:
    """What llama.cpp calls a fault of its own but is one of the request."""
    if any(word in message for word in _LLAMA_CONTENT):
        return TargetError(UNSUPPORTED_CONTENT)
    if any(word in message for word in _LLAMA_REQUEST):
        return find_overflow(details) or TargetError(INVALID_REQUEST, param=_read_param(details))
    return find_overflow(details)


def find_overflow(details: Mapping[str, Any]) -> TargetError | None:
    """The error for a prompt that is too long, with both numbers, when a server says so in a way that is known."""
    needed, limit = details.get("n_prompt_tokens"), details.get("n_ctx")
    message = str(details.get("message", ""))
    if not (isinstance(needed, int) and isinstance(limit, int)):
        if (found := _ANTHROPIC_OVERFLOW.search(message)) or (found := _LLAMA_INPUT.search(message)):
            needed, limit = int(found[1]), int(found[2])
        elif found := _OPENAI_OVERFLOW.search(message):
            limit, needed = int(found[1]), int(found[2])
        elif "context_length" in str(details.get("code")) or "exceed_context" in str(details.get("type")):
            return TargetError(CONTEXT_LENGTH_EXCEEDED)
        else:
            return None
    where = "of model '{model}' (CONTEXT_LENGTH of a model of this stack)."
    # Agents look for these words with the two numbers, to shorten their conversation by themselves.
    text = f"The prompt is too long: {needed} tokens > {limit} {where}"
    if needed <= limit:
        text = f"The prompt has {needed} tokens and leaves no room for an answer in the {limit} {where}"
    return TargetError(CONTEXT_LENGTH_EXCEEDED, text=text)


def read_error(body: bytes) -> Mapping[str, Any]:
    """The details of an error body in OpenAI's, Anthropic's, llama.cpp's or FastAPI's form; empty when it has none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": body[:2000].decode("utf-8", "replace")}
    for key in ("error", "detail", "message"):
        if isinstance(value, dict) and key in value:
            value = value[key]
            break
    if isinstance(value, dict):
        return value
    return {"message": value if isinstance(value, str) else ""}


def _read_param(details: Mapping[str, Any]) -> str | None:
    """The field that the server named; only what can be a name of a field."""
    param = details.get("param")
    return param if isinstance(param, str) and re.fullmatch(r"[A-Za-z_][\w.\[\]]{0,99}", param) else None


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After`` header that gives seconds; None for a date, nonsense or none."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
