"""The pipeline that every request passes: path, key, body, fields, limits, route.

In: ASGI requests. Out: answers of the gate's own, or those of the route. No request reaches a server before its key,
its size, its fields and its model's name are checked, and nothing but checked fields reaches one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.catalog.describe import describe_models, describe_route
from gateway.catalog.values import Catalog, Route
from gateway.edge.administration import NOT_STORED, administer, check_no_page
from gateway.edge.asgi import PUSH
from gateway.edge.bodies import DisconnectedError, parse_object, read_body
from gateway.edge.cached import serve_cached
from gateway.edge.endpoints import ADMIN, MODELS_PATH, ONE_MODEL, USAGE, Access, Endpoint, find_endpoint
from gateway.edge.exchange import Exchange
from gateway.edge.leaving import do_until_left
from gateway.edge.limited import serve
from gateway.edge.pages import serve_page, serve_usage
from gateway.edge.parts import Parts
from gateway.edge.scrape import describe_present, describe_state
from gateway.edge.wire import (
    choose_request_id,
    explain_method,
    explain_path,
    list_cors_headers,
    list_error_headers,
    list_options_headers,
)
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.observe.logs import note
from gateway.observe.metrics import CONTENT_TYPE, render_metrics
from gateway.policy.access import check_admin, find_caller, has_form_of_key
from gateway.policy.fields import check_fields
from gateway.policy.provider_key import find_provider_key, wants_own_alone
from gateway.policy.rights import can_answer, check_model, list_models, may_ask
from gateway.settings import Settings
from gateway.state.values import Caller

if TYPE_CHECKING:
    from gateway.edge.asgi import Receive, Scope, Send

_LOG = logging.getLogger("gateway")

# Of the client's request headers, what a server that speaks the client's format needs to know.
_FORWARDED_HEADERS = frozenset({b"anthropic-beta", b"anthropic-version"})


class Gate:
    """The ASGI application.

    Args:
        open_parts: called once the event loop runs.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        open_parts: Callable[[], Parts],
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._open_parts = open_parts
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        request_id = choose_request_id(scope["headers"])
        push = scope.get("extensions", {}).get(PUSH)
        exchange = Exchange(find_endpoint(scope["path"]), scope["method"], request_id, send, push)
        if exchange.endpoint is ADMIN:
            exchange.headers.append(NOT_STORED)
        elif exchange.endpoint is None or not exchange.endpoint.is_for_people:
            exchange.headers += list_cors_headers(scope["headers"], self._catalog.cors_origins)
        try:
            await self._serve(exchange, scope, receive)
        except RefusedError as refusal:
            await self._refuse(exchange, refusal.error)
        except DisconnectedError:
            exchange.status, exchange.code = 499, "client_disconnected"
        except asyncio.CancelledError:  # only the server cancels, at the end of its time to stop
            await self._give_up(exchange, ApiError(503, "shutting_down", "The gateway is stopping."))
        except Exception as error:
            facts = {"request": exchange.request_id, "endpoint": exchange.name}
            note(_LOG, logging.ERROR, "request failed", facts, error)
            await self._give_up(exchange, ApiError(500, "internal_error", "The gateway failed; its log says where."))
        finally:
            exchange.finish()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._parts = self._open_parts()
        await self._parts.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._parts.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        endpoint = exchange.endpoint
        if endpoint is None:
            raise RefusedError(explain_path(scope["path"]))
        if endpoint.format and endpoint.format.removesuffix("_count") not in self._catalog.formats:
            raise RefusedError(ApiError(404, "unknown_route", f"{endpoint.name} is switched off here."))
        if endpoint is ADMIN:
            check_no_page(scope["headers"])
        if scope["method"] == "OPTIONS":
            origins = () if endpoint.is_for_people else self._catalog.cors_origins
            headers = list_options_headers(scope["headers"], endpoint, origins)
            await exchange.answer(204, b"", b"text/plain", headers)
            return
        if scope["method"] != endpoint.method and (scope["method"], endpoint.method) != ("HEAD", "GET"):
            raise RefusedError(explain_method(endpoint))
        if endpoint.access is not Access.OPEN:
            exchange.caller = await self._find_caller(scope)
        if endpoint.access is Access.ADMIN_KEY:
            check_admin(exchange.caller)
        if endpoint.method == "GET":
            await self._answer(exchange, endpoint, scope)
            return
        if endpoint is ADMIN:
            await administer(exchange, self._parts, scope, receive, self._settings.state.path)
            return
        exchange.recorder = self._parts.recorder
        body = await read_body(receive, scope["headers"], self._settings.max_body_bytes)
        call, route = self._check(exchange, endpoint, body, scope)
        try:
            answering = (
                serve(self._parts, call, route, exchange)
                if route.cache is None
                else serve_cached(self._parts, call, route, exchange, route.cache, scope["headers"])
            )
            await do_until_left(answering, scope, receive, exchange)
        except RefusedError as refusal:
            if endpoint.format == "embeddings" and refusal.error.status >= 500:
                raise RefusedError(_switch_off(refusal.error.message)) from refusal
            raise

    async def _find_caller(self, scope: Scope) -> Caller:
        """Who asks, with the keys as they are known; for a key that is not, as they are now."""
        headers, keyring = scope["headers"], self._parts.keyring
        try:
            return find_caller(headers, self._settings, keyring, time.time())
        except RefusedError:
            if self._parts.refresher is None or not has_form_of_key(headers):
                raise
            await self._parts.refresher.look_again()
            return find_caller(headers, self._settings, keyring, time.time())

    def _check(self, exchange: Exchange, endpoint: Endpoint, body: bytes, scope: Scope) -> tuple[Call, Route]:
        """The call and its route.

        Raises:
            RefusedError: 400 for a body that is no JSON object, names no model or one of another mode, or has a field
                that is not for clients; 404 for a model that is not served.
        """
        sent = parse_object(body)
        route = self._find_route(endpoint, sent, exchange.caller)
        fields = check_fields(endpoint.format, sent)
        exchange.model = route.name
        exchange.listener = self._parts.content.begin(route.name, body)
        headers = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _FORWARDED_HEADERS
        }
        request_id, caller = exchange.request_id, exchange.caller
        key = find_provider_key(scope["headers"], route)
        alone = wants_own_alone(scope["headers"], key)
        exchange.call = Call(
            endpoint.format, fields, fields["model"], request_id, caller, headers, len(body), key, alone
        )
        return exchange.call, route

    def _find_route(self, endpoint: Endpoint, fields: dict[str, Any], caller: Caller) -> Route:
        if endpoint.format == "embeddings" and (reason := self._find_why_no_embeddings()):
            raise RefusedError(_switch_off(reason))
        name = fields.get("model")
        if not isinstance(name, str) or not name:
            raise RefusedError(ApiError(400, "missing_model", "Parameter 'model' must name a model.", "model"))
        route = self._catalog.find(name)
        if route is None:
            text = f"Model '{name[:200]}' is not served here; {MODELS_PATH} lists the models."
            raise RefusedError(ApiError(404, "model_not_found", text, "model"))
        check_model(caller, name, route)
        if route.mode != endpoint.mode:
            text = f"Model '{name[:200]}' is for {route.mode}; {endpoint.name} needs a model for {endpoint.mode}."
            raise RefusedError(ApiError(400, "wrong_model_mode", text, "model"))
        return route

    def _find_why_no_embeddings(self) -> str:
        if not self._catalog.embeddings:
            return "They are switched off here."
        if all(route.mode != "embedding" for route in self._catalog.routes.values()):
            return "No embedding model is configured."
        return ""

    async def _answer(self, exchange: Exchange, endpoint: Endpoint, scope: Scope) -> None:
        """Answer the endpoints that need no model."""
        if endpoint is USAGE:
            await serve_usage(exchange, self._parts, scope, self._settings.page_hosts)
        elif endpoint.is_for_people:
            await serve_page(exchange, endpoint, scope, self._settings.page_hosts)
        elif endpoint.name == "/metrics":
            present = await describe_present(self._parts, self._settings, len(self._catalog.routes))
            await exchange.answer(200, render_metrics(present), CONTENT_TYPE.encode())
        elif endpoint.name == MODELS_PATH:
            with_aliases = b"aliases=true" in scope["query_string"].split(b"&")
            named = list_models(self._catalog, exchange.caller, with_aliases)
            await exchange.answer_json(describe_models(named, self._created))
        elif endpoint is ONE_MODEL:
            await exchange.answer_json(self._describe(scope["path"], exchange.caller))
        elif endpoint.name == "/health":
            await exchange.answer_json(await self._describe_health(exchange.caller))
        else:
            await exchange.answer_json({"status": "ok"})

    async def _describe_health(self, caller: Caller) -> dict[str, Any]:
        routes = dict(list_models(self._catalog, caller))
        targets = {target.name: target for route in routes.values() for target in route.targets}
        state = describe_state(self._parts, caller.is_admin)
        cache = {"cache": self._parts.cache.describe()} if self._parts.cache else {}
        sharing = self._parts.sharing
        limits = {"limits": sharing.describe_sharing()} if sharing else {}
        return {
            "status": "ok",
            "models": list(routes),
            **await self._parts.router.describe(targets.values()),
            "state": state,
            **cache,
            **limits,
        }

    def _describe(self, path: str, caller: Caller) -> dict[str, Any]:
        name = path.removeprefix(f"{MODELS_PATH}/")
        route = self._catalog.find(name)
        if route is None or not (may_ask(caller, name, route) and can_answer(caller, route)):
            raise RefusedError(ApiError(404, "model_not_found", f"Model '{name[:200]}' is not served here.", "model"))
        return describe_route(name, route, self._created)

    async def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        await exchange.refuse(error, list_error_headers(error, exchange.endpoint))

    async def _give_up(self, exchange: Exchange, error: ApiError) -> None:
        """Answer with the error; a stream that has begun ends with it, and any other answer is cut."""
        exchange.code = error.code
        if not exchange.has_begun:
            await self._refuse(exchange, error)
        elif exchange.fail and not exchange.is_complete:
            await exchange.end(exchange.fail(error))


def _switch_off(reason: str) -> ApiError:
    """The one answer of embeddings that are not there, by which clients know to search without them."""
    return ApiError(503, "embeddings_unavailable", f"Embeddings are not available; search by words instead. {reason}")
