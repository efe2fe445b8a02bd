"""What the gate checks of a request before LiteLLM sees it. Pure but for reading the body from ``receive``.

In: headers and body. Out: a checked value, or ``RefusedError`` with the answer for the client.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from gateway.catalog import Catalog, Model
from gateway.edge.routes import Access, Route
from gateway.errors import ApiError, RefusedError
from gateway.settings import Settings

if TYPE_CHECKING:
    from starlette.types import Message, Receive

HeaderList = Iterable[tuple[bytes, bytes]]

# Instructions to LiteLLM itself, which it would take from a request's body: where to send it, with which key,
# what to answer instead of asking the model. OpenAI's and Anthropic's formats have none of them.
_REFUSED_PARAMETERS = frozenset(
    {
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "callbacks",
        "context_window_fallbacks",
        "custom_llm_provider",
        "extra_headers",
        "failure_callback",
        "fallbacks",
        "headers",
        "model_list",
        "success_callback",
        "user_config",
    }
)
_REFUSED_PREFIXES = ("litellm_", "mock_")


class DisconnectedError(Exception):
    """The client left before its request was complete."""


def check_access(route: Route, headers: HeaderList, settings: Settings) -> str:
    """The role of the caller: ``admin``, ``client`` or, on an open route, ``anyone``.

    Raises:
        RefusedError: 401 when the request has no valid key, 403 when the route wants the admin key.
    """
    if route.access is Access.OPEN:
        return "anyone"
    role = _find_role(headers, settings)
    if role is None:
        text = "A valid key is needed, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
        raise RefusedError(ApiError(401, "invalid_api_key", text))
    if route.access is Access.ADMIN_KEY and role != "admin":
        raise RefusedError(ApiError(403, "admin_key_needed", "This route needs the admin key."))
    return role


def _find_role(headers: HeaderList, settings: Settings) -> str | None:
    admin, client = settings.admin_key.encode(), settings.client_key.encode()
    role = None
    for key in _list_keys(headers):
        # Both are always compared, each in constant time, so that the time tells nothing about either.
        is_admin, is_client = hmac.compare_digest(key, admin), hmac.compare_digest(key, client)
        role = "admin" if is_admin else role or ("client" if is_client else None)
    return role


def _list_keys(headers: HeaderList) -> list[bytes]:
    keys = []
    for name, value in headers:
        if name == b"x-api-key":
            keys.append(value.strip())
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            keys.append(value[7:].strip())
    return keys


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


def check_body(body: bytes, route: Route, catalog: Catalog) -> Model:
    """The model a request asks for.

    Raises:
        RefusedError: 400 for a body that is no JSON object, names no model, names a model of another mode or holds a
            parameter that is not for clients; 404 for a model that is not served.
    """
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = f"The request body is not valid JSON (line {error.lineno}, column {error.colno})."
        raise RefusedError(ApiError(400, "invalid_json", text)) from error
    if not isinstance(value, dict):
        raise RefusedError(ApiError(400, "invalid_json", "The request body must be a JSON object."))
    for name in value:
        if name in _REFUSED_PARAMETERS or name.startswith(_REFUSED_PREFIXES):
            raise RefusedError(ApiError(400, "unsupported_parameter", f"Parameter '{name}' is not accepted.", name))
    name = value.get("model")
    if not isinstance(name, str) or not name:
        raise RefusedError(ApiError(400, "missing_model", "Parameter 'model' must name a model.", "model"))
    model = catalog.get(name)
    if model is None:
        text = f"Model '{name[:200]}' is not served here; /v1/models lists the models."
        raise RefusedError(ApiError(404, "model_not_found", text, "model"))
    if model.mode != route.mode:
        text = f"Model '{name}' is for {model.mode}; {route.name} needs a model for {route.mode}."
        raise RefusedError(ApiError(400, "wrong_model_mode", text, "model"))
    return model
