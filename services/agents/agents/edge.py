"""What stands before the routes: who may ask, in which form and how much; and one line of log for each request.

In and out: ASGI. A page of another site cannot reach the agents through a visitor's browser: the host that was asked
has to be one of ours, the page's origin the same or a known one, and a body JSON, which a form cannot send.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import Response

from agents.observe import note
from agents.problems import MEDIA_TYPE, ProblemError, build_document, choose_language

MAX_BODY_BYTES = 1 << 20
# Of all large bodies that have not come whole, and for how long one may come: nobody has shown a key yet. A problem is
# small, so that nobody's is kept out by large ones.
_MAX_COMING_BYTES = 16 << 20
_SMALL_BYTES = 64 << 10
_BODY_S = 30.0
# For the machine beside us; neither says anything that is not public here.
_FOR_PROBES = ("/health/", "/metrics")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
# Of every answer that does not say otherwise.
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Edge:
    """The outermost layer.

    Args:
        hosts: lower-case names under which the service is asked, beside loopback's and addresses.
    """

    def __init__(self, app: Application, hosts: frozenset[str]) -> None:
        self._app, self._hosts, self._coming = app, hosts, 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _read_headers(scope)
        given = headers.get("x-request-id", "")
        facts: dict[str, Any] = {"request_id": given if _ID.fullmatch(given) else secrets.token_hex(8)}
        scope["state"] = {
            **scope.get("state", {}),
            "facts": facts,
            "language": choose_language(headers["accept-language"]),
        }
        started, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = list(message.get("headers", []))
                names = {name for name, _ in said}
                own = [header for header in _HEADERS if header[0] not in names]
                message = {**message, "headers": [*said, *own, (b"x-request-id", facts["request_id"].encode())]}
            await send(message)

        try:
            self._check(scope, headers)
            body = await self._take_body(headers, receive) if scope["method"] == "POST" else None
            await self._app(scope, receive if body is None else _replay(body, receive), answer)
        except ProblemError as problem:
            facts["code"] = problem.code
            await answer_problem(problem, scope)(scope, receive, answer)
        finally:
            if not scope["path"].startswith(_FOR_PROBES):
                # Not the path: whatever a stranger puts there would be in the log.
                took_ms = round((time.monotonic() - started) * 1000)
                note(logging.INFO, "request", {"method": scope["method"], "status": status, "ms": took_ms, **facts})

    async def _take_body(self, headers: dict[str, str], receive: Receive) -> bytes:
        claimed = _claim_bytes(headers)
        claimed = claimed if claimed > _SMALL_BYTES else 0
        if claimed and self._coming + claimed > _MAX_COMING_BYTES:
            raise ProblemError("busy", retry_after="2")
        self._coming += claimed
        try:
            async with asyncio.timeout(_BODY_S):
                return await _read_body(receive)
        except TimeoutError:
            raise ProblemError("request_timeout") from None
        finally:
            self._coming -= claimed

    def _check(self, scope: MutableMapping[str, Any], headers: dict[str, str]) -> None:
        if scope["path"].startswith(_FOR_PROBES):
            return
        host = _AUTHORITY.fullmatch(headers["host"])
        if host is None or not self._is_ours(host[1].removesuffix(".")):
            raise ProblemError("unknown_host")
        origin = headers.get("origin")
        if origin is not None and not self._is_known(origin, host[0]):
            raise ProblemError("origin_refused")

    def _is_ours(self, host: str) -> bool:
        if host == "localhost" or host.endswith(".localhost") or host in self._hosts:
            return True
        try:  # nobody can make an address lead elsewhere
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True

    def _is_known(self, origin: str, asked: str) -> bool:
        scheme, _, authority = origin.lower().partition("://")
        found = _AUTHORITY.fullmatch(authority)
        return scheme in ("http", "https") and found is not None and (found[0] == asked or found[1] in self._hosts)


def answer_problem(problem: ProblemError, scope: MutableMapping[str, Any]) -> Response:
    """The problem's document as an answer to the request of this scope."""
    state = scope["state"]
    document = build_document(problem, state["language"], state["facts"]["request_id"])
    headers = {"content-language": state["language"]}
    if problem.retry_after:
        headers["retry-after"] = problem.retry_after
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    # A raw answer may hold halves of surrogate pairs, which only ASCII can write.
    return Response(json.dumps(document), problem.status, headers, MEDIA_TYPE)


def _read_headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    """Lower-case names to values; one that is said twice, and is looked at here, counts as wrong."""
    found = {"host": "", "accept-language": "", "content-type": ""}
    seen: set[str] = set()
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        found[key] = value.decode("latin-1").strip() if key not in seen else "\0"
        seen.add(key)
    found["host"] = found["host"].lower()
    return found


def _claim_bytes(headers: dict[str, str]) -> int:
    """How much a body may take; of one that comes in pieces of no stated length, as much as any."""
    kind = headers["content-type"].lower().partition(";")[0].strip()
    if kind != "application/json":
        raise ProblemError("json_expected")
    length = headers.get("content-length", str(MAX_BODY_BYTES))
    if not length.isdigit() or len(length) > 12 or int(length) > MAX_BODY_BYTES:
        raise ProblemError("body_too_large")
    return int(length)


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise ProblemError("body_too_large")
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever comes: that the client leaves."""
    is_told = False

    async def read() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return read
