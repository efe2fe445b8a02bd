"""The gate in front of LiteLLM: routes, keys, sizes and error bodies.

In: ASGI requests. Out: answers of its own, or LiteLLM's. LiteLLM gets the checked body without the key, the query
and the other headers of the request, so that nothing of them can steer it or end in its logs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.catalog import Catalog, describe_catalog, describe_model
from gateway.edge.checks import DisconnectedError, check_access, check_body, read_body
from gateway.edge.exchange import Exchange
from gateway.edge.replies import send_body, send_error, send_json
from gateway.edge.routes import MODELS_PATH, ONE_MODEL, SCOPE_ROLE, Route, find_route
from gateway.errors import ApiError, RefusedError
from gateway.failures import CURRENT_FAILURE
from gateway.observe.metrics import CONTENT_TYPE, render_metrics
from gateway.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("gateway")

# Read by the providers' adapters; everything else a client sends would only be copied around.
_FORWARDED_HEADERS = frozenset({b"accept", b"anthropic-beta", b"anthropic-version", b"user-agent"})


class Gate:
    """An ASGI application around LiteLLM's.

    Args:
        check_start: called once LiteLLM has started; returns the models that LiteLLM does not serve. Any ends the
            start.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, catalog: Catalog, check_start: Callable[[], list[str]]
    ) -> None:
        self._app = app
        self._settings = settings
        self._catalog = catalog
        self._check_start = check_start
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] == "lifespan":
            await self._start(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        exchange = Exchange(find_route(scope["path"]), scope["method"], send)
        try:
            await self._serve(exchange, scope, receive)
        except RefusedError as refusal:
            await self._refuse(exchange, refusal.error)
        except DisconnectedError:
            exchange.status, exchange.code = 499, "client_disconnected"
        except asyncio.CancelledError:  # only the server cancels, at the end of its time to stop
            await self._give_up(exchange, ApiError(503, "shutting_down", "The gateway is stopping."))
        except Exception as error:
            _LOG.error("%s failed", exchange.name, exc_info=error)
            text = "The gateway failed; its log says where."
            await self._give_up(exchange, ApiError(500, "internal_error", text))
        finally:
            exchange.finish()

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_checked(message: Message) -> None:
            missing = self._check_start() if message["type"] == "lifespan.startup.complete" else []
            if missing:
                text = f"LiteLLM does not serve {', '.join(missing)}; check the provider prefix of the model"
                message = {"type": "lifespan.startup.failed", "message": text}
            await send(message)

        await self._app(scope, receive, send_checked)

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        route = exchange.route
        if route is None:
            raise RefusedError(ApiError(404, "unknown_route", "There is no such route."))
        if scope["method"] != route.method:
            raise RefusedError(ApiError(405, "method_not_allowed", f"{route.name} takes {route.method} only."))
        exchange.role = check_access(route, scope["headers"], self._settings)
        if route.method == "GET":
            await self._answer(exchange, route, scope["path"])
            return
        body = await read_body(receive, _read_length(scope), self._settings.max_body_bytes)
        exchange.model = check_body(body, route, self._catalog).name
        CURRENT_FAILURE.set(exchange.failure)
        await self._app(_build_scope(scope, exchange.role, len(body)), _replay(body, receive), exchange.send)

    async def _answer(self, exchange: Exchange, route: Route, path: str) -> None:
        """Answer the routes that need no model."""
        send = exchange.send_own
        if route.name == "/metrics":
            await send_body(send, 200, render_metrics(), CONTENT_TYPE.encode())
        elif route.name == MODELS_PATH:
            await send_json(send, describe_catalog(self._catalog, self._created))
        elif route is ONE_MODEL:
            await send_json(send, self._describe(path))
        elif route.name == "/health":
            await send_json(send, {"status": "ok", "models": list(self._catalog)})
        else:
            await send_json(send, {"status": "ok"})

    def _describe(self, path: str) -> dict[str, Any]:
        name = path.removeprefix(f"{MODELS_PATH}/")
        if name not in self._catalog:
            raise RefusedError(ApiError(404, "model_not_found", f"Model '{name[:200]}' is not served here.", "model"))
        return describe_model(self._catalog[name], self._created)

    async def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        exchange.code = error.code
        route = exchange.route
        headers = []
        if error.status == 401:
            headers = [(b"www-authenticate", b"Bearer")]
        elif error.status == 405 and route:
            headers = [(b"allow", route.method.encode())]
        elif error.status == 413:
            headers = [(b"connection", b"close")]
        await send_error(exchange.send_own, error, route is not None and route.is_anthropic, headers)

    async def _give_up(self, exchange: Exchange, error: ApiError) -> None:
        """Answer with the error or, when the answer had begun, leave it unfinished: the server cuts the connection."""
        exchange.code = error.code
        if not exchange.has_begun:
            await self._refuse(exchange, error)


def _read_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


def _build_scope(scope: Scope, role: str, size: int) -> Scope:
    headers = [item for item in scope["headers"] if item[0] in _FORWARDED_HEADERS]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]
    # Without the extensions too: a request is served in the same way whatever the server can do.
    return {**scope, "headers": headers, "query_string": b"", "extensions": {}, SCOPE_ROLE: role}


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body that was read, then whatever follows it, which is the client leaving."""
    is_sent = False

    async def replay() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
