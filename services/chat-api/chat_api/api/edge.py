"""Around the application: who may ask, the request's id, log, metrics, and what nobody caught. Does I/O: the log.

In: ASGI. It stands outside of FastAPI, whose own middleware costs more than the rest of a request.
"""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chat_api.api.bodies import LeftError
from chat_api.api.facts import Facts, choose_request_id, keep_facts
from chat_api.api.hosts import is_host_allowed, is_origin_allowed
from chat_api.api.language import choose_language
from chat_api.api.problems import build_response
from chat_api.exceptions.chat_exceptions import ChatServiceException, ValidationException
from chat_api.telemetry.logs import note
from chat_api.telemetry.metrics import Metrics

_LOG = logging.getLogger("chat_api.access")
# What every answer says; a page of ours adds to it.
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_STRICT_CSP = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE = (b"cache-control", b"no-store")
# Status in the log of a client that left before it was answered.
_LEFT = 499


class Edge:
    """The application with everything around it.

    Args:
        allowed_hosts: see ``Settings``.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str], metrics: Metrics) -> None:
        self._app, self._allowed_hosts, self._metrics = app, allowed_hosts, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by uvicorn."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        request_id = choose_request_id(headers.get("x-request-id", ""))
        facts = Facts(request_id, choose_language(headers.get("accept-language", "")))
        keep_facts(scope, facts)
        exchange = _Exchange(scope, send, request_id)
        try:
            if refusal := self._find_refusal(scope, headers):
                facts.code = refusal.code
                await build_response(refusal, facts.language, request_id)(scope, receive, exchange.send)
            else:
                await self._app(scope, receive, exchange.send)
        except LeftError:
            exchange.status = _LEFT
        except Exception as error:
            await self._give_up(exchange, facts, error)
        finally:
            self._finish(exchange, facts)

    def _find_refusal(self, scope: Scope, headers: dict[str, str]) -> ValidationException | None:
        if scope["path"].startswith("/health/"):
            return None  # says nothing, and probes ask under any name
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if not is_host_allowed(hosts, self._allowed_hosts):
            return ValidationException("host_not_allowed")
        if not is_origin_allowed(headers, self._allowed_hosts):
            return ValidationException("origin_not_allowed")
        return None

    async def _give_up(self, exchange: _Exchange, facts: Facts, error: Exception) -> None:
        note(_LOG, logging.ERROR, "failed", {"request": facts.request_id}, error)
        failure = ChatServiceException("internal_error")
        facts.code = failure.code
        if exchange.status == 0:
            response = build_response(failure, facts.language, facts.request_id)
            await response(exchange.scope, _hear_nothing, exchange.send)

    def _finish(self, exchange: _Exchange, facts: Facts) -> None:
        route, duration_s = exchange.route, time.monotonic() - exchange.started
        self._metrics.requests.labels(route, str(exchange.status)).inc()
        self._metrics.duration.labels(route).observe(duration_s)
        if facts.code:
            self._metrics.problems.labels(facts.code).inc()
        if exchange.status == 200 and (route.startswith("/health") or route == "/metrics"):
            return
        logged = {"request": facts.request_id, "method": exchange.method, "route": route, "status": exchange.status,
                  "duration_s": round(duration_s, 4), **facts.logged}  # fmt: skip
        note(_LOG, logging.INFO, "request", logged | ({"code": facts.code} if facts.code else {}))


class _Exchange:
    """One request and what is sent for it."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.scope, self._send = scope, send
        self.status = 0
        self.started = time.monotonic()
        self._headers = [(b"x-request-id", request_id.encode()), *_SECURITY]

    @property
    def method(self) -> str:
        """A method that HTTP knows; others are a client's own words."""
        method = str(self.scope["method"])
        return method if method in ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS") else "other"

    @property
    def route(self) -> str:
        """The path as we know it, without anything a client chose."""
        return str(getattr(self.scope.get("route"), "path", "unknown"))

    async def send(self, message: Message) -> None:
        """Send on, with the headers of every answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = message["headers"]
            names = {name for name, _ in given}
            more = [header for header in (_STRICT_CSP, _NO_STORE) if header[0] not in names]
            message = {**message, "headers": [*given, *self._headers, *more]}
        await self._send(message)


async def _hear_nothing() -> Message:
    return {"type": "http.disconnect"}
