"""What a failed call becomes for the client: the cause in plain words, never an address or a traceback. Pure.

In: the exception that LiteLLM met, and the error answer it made of it. Out: an ``ApiError``. LiteLLM answers 500
for a server that is down and for a request it could not convert alike; the chain of exceptions tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import httpx
import orjson

from gateway.errors import ApiError

# LiteLLM's own transport raises httpx's exceptions too, so these cover every provider.
_TIMEOUTS = (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout)
_UNREACHABLE = (ConnectionError, httpx.TransportError)
# Not the doing of any client or server.
_DEFECTS = (ImportError, NameError)

# "litellm.BadRequestError: OpenAIException - what the provider said\n\nLiteLLM: model group ..."
_PREFIX = re.compile(r"^(?:litellm\.\w+: |\w+(?:Error|Exception)(?:: | - ))+")
_SUFFIX = re.compile(r"(?:\n+LiteLLM: |\. ?Received Model Group=).*", re.DOTALL)
_MAX_MESSAGE = 2000


@dataclass(slots=True)
class Failure:
    """Where the exception of one request is left for the gate by whoever met it."""

    exception: BaseException | None = None


# Set by the gate before it calls LiteLLM; child tasks inherit the same Failure.
CURRENT_FAILURE: ContextVar[Failure] = ContextVar("current_failure")


def explain(status: int, body: bytes, exception: BaseException | None, model: str) -> ApiError:
    """The error to send instead of LiteLLM's.

    Args:
        status: HTTP status of LiteLLM's answer.
        exception: the exception that LiteLLM met; None when it left none.
        model: served name that the client asked for.
    """
    if status == 499:
        return ApiError(499, "client_disconnected", "The client left.")
    chain = tuple(_walk(exception)) if exception else ()
    if any(isinstance(item, httpx.ConnectTimeout) for item in chain):
        return _unreachable(model)
    if status == 504 or any(isinstance(item, _TIMEOUTS) for item in chain):
        return ApiError(504, "upstream_timeout", f"The server of model '{model}' did not answer in time.")
    if any(isinstance(item, _UNREACHABLE) for item in chain):
        return _unreachable(model)
    message = read_message(body)
    if status in (401, 403):
        text = f"The server of model '{model}' refused the gateway's own key."
        return ApiError(502, "upstream_refused_key", text)
    if status == 503 and "loading" in message.lower():
        return ApiError(503, "model_loading", f"Model '{model}' is still loading; try again in a moment.")
    if "exceed_context_size" in message or "ContextWindowExceeded" in type(exception).__name__:
        return ApiError(400, "context_length_exceeded", shorten(message), "messages")
    if any(isinstance(item, _DEFECTS) for item in chain):
        return ApiError(500, "internal_error", "The gateway failed; its log says where.")
    if status == 500 and "APIConnectionError" in type(exception).__name__:
        # No connection failed, or it would stand in the chain: LiteLLM could not convert the request.
        return ApiError(400, "invalid_request", shorten(message))
    if status >= 500:
        return ApiError(502, "upstream_error", f"The server of model '{model}' failed: {shorten(message)}")
    return ApiError(status, _name_client_error(status), shorten(message))


def replace_stream_errors(events: bytes, explain_body: Callable[[bytes], ApiError]) -> bytes:
    """Server-sent events with our words and codes in the place of LiteLLM's, in whichever of the three formats.

    Args:
        events: bytes of one event or several, as LiteLLM sends them at once.
        explain_body: makes the error to send from the body of LiteLLM's error.
    """
    if b'"error":{' not in events and b'"error": {' not in events:
        return events  # nearly always, at 0.1 us
    return b"\n\n".join(_replace_error(event, explain_body) for event in events.split(b"\n\n"))


def _replace_error(event: bytes, explain_body: Callable[[bytes], ApiError]) -> bytes:
    head, mark, data = event.partition(b"data: ")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return event
    holder = value.get("response", value) if isinstance(value, dict) else None
    details = holder.get("error") if isinstance(holder, dict) else None
    if not isinstance(details, dict):
        return event
    error = explain_body(orjson.dumps({"error": details}))
    details["message"] = error.message
    if "code" in details:
        details["code"] = error.code
        details["type"] = details.get("type") or "server_error"
    return head + mark + orjson.dumps(value)


def read_message(body: bytes) -> str:
    """The message of an error body in OpenAI's, Anthropic's or FastAPI's form; the text itself otherwise."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
    for key in ("error", "detail", "message"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def shorten(message: str) -> str:
    """What the provider said, without LiteLLM's words around it."""
    text = _PREFIX.sub("", _SUFFIX.sub("", message)).strip()
    if text.startswith("{"):
        text = read_message(text.encode())
    return text[:_MAX_MESSAGE]


def _unreachable(model: str) -> ApiError:
    text = f"The server of model '{model}' cannot be reached; it may be starting or stopped."
    return ApiError(503, "upstream_unreachable", text)


def _name_client_error(status: int) -> str:
    return {404: "not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}.get(status, "invalid_request")


def _walk(exception: BaseException) -> Iterator[BaseException]:
    """The exception and all exceptions it came from, each once."""
    waiting: list[BaseException | None] = [exception]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [item.__cause__, item.__context__, getattr(item, "original_exception", None)]
