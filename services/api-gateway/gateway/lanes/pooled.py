"""Requests to servers of all kinds over pooled connections, by aiohttp: TLS, proxies, HTTP as it comes. Does I/O.

In: a ``Target``, a path, headers and a body. Out: an ``Answer``, or a ``TargetError`` that says what was seen.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.catalog.values import Provider, Target
from gateway.lanes.answer import Take
from gateway.lanes.sockets import watch_for_dead_network
from gateway.outcomes import BROKEN_ANSWER, CERTIFICATE_WRONG, TIMED_OUT, UNREACHABLE, TargetError

_READ_BYTES = 256 * 1024
# A body that ends too early, and what is no HTTP at all.
_BROKEN = (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, aiohttp.http_exceptions.HttpProcessingError)
# Of what may still follow the end of an answer before the connection is given up instead of kept.
_MAX_REST_BYTES, _MAX_REST_S = 64 * 1024, 1.0


class Pools:
    """The pooled connections of one worker.

    Args:
        trust: whom TLS servers are trusted by, as ``load_trust`` gives it.
    """

    def __init__(self, trust: ssl.SSLContext | bool) -> None:
        self._trust = trust
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()

    @asynccontextmanager
    async def post(
        self, target: Target, path: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[PooledAnswer]:
        """Send one request; gives the answer once its head is there, whatever it says.

        Where the caller has read enough, what little still follows is read, so that the connection is used again.

        Raises:
            TargetError: the server cannot be reached, or what it answers is not HTTP.
        """
        with _name_failures():
            async with await self._send(target, path, headers, body) as response:
                yield PooledAnswer(response)
                if not target.provider.fresh_connections:
                    await _drain(response)

    async def _send(self, target: Target, path: str, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Send, once more where a pooled connection turns out to be closed: that is no failure of the server."""
        provider = target.provider
        session = self._sessions.get(_kind_of(provider)) or self._open(provider)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=provider.timeouts.connect_s)
        for is_last in (False, True):
            use = _ConnectionUse()
            try:
                return await session.post(
                    target.base_url + path,
                    data=body,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                    trace_request_ctx=use,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if is_last or not use.is_reused:
                    raise
        raise AssertionError("unreachable")

    def _open(self, provider: Provider) -> aiohttp.ClientSession:
        fresh, proxied = _kind_of(provider)
        connector = aiohttp.TCPConnector(
            limit=0, use_dns_cache=False, force_close=fresh, socket_factory=_open_socket, ssl=self._trust
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=proxied,
            read_bufsize=_READ_BYTES,
            trace_configs=[] if fresh else [_watch_reuse()],
        )
        self._sessions[fresh, proxied] = session
        return session


class PooledAnswer:
    """An answer that aiohttp reads; see ``Answer``."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """See ``Answer``."""
        with _name_failures():
            return await self._response.content.readany()

    async def pass_to(self, take: Take) -> None:
        """See ``Answer``."""
        while data := await self.read():
            if not take(data):
                return
        raise TargetError(BROKEN_ANSWER)


def load_trust(ca_bundle: str) -> ssl.SSLContext | bool:
    """Whom TLS servers are trusted by: the system's authorities, and those of the PEM file ``ca_bundle`` beside them.

    Raises:
        OSError, ssl.SSLError: the file cannot be read, or holds no certificate.
    """
    if not ca_bundle:
        return True
    context = ssl.create_default_context()
    context.load_verify_locations(ca_bundle)
    return context


@contextmanager
def _name_failures() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:  # aiohttp's connect time-outs are one of these too
        raise TargetError(TIMED_OUT) from error
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError) as error:
        raise TargetError(CERTIFICATE_WRONG) from error
    except _BROKEN as error:
        raise TargetError(BROKEN_ANSWER) from error
    except (aiohttp.ClientError, OSError) as error:
        raise TargetError(UNREACHABLE) from error


async def _drain(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(_MAX_REST_S):
            await response.content.read(_MAX_REST_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        response.close()


def _kind_of(provider: Provider) -> tuple[bool, bool]:
    return provider.fresh_connections, provider.is_proxied


@dataclass(slots=True)
class _ConnectionUse:
    """Whether a request went over a connection that had served another."""

    is_reused: bool = False


def _watch_reuse() -> aiohttp.TraceConfig:
    async def note(session: aiohttp.ClientSession, context: Any, parameters: object) -> None:
        context.trace_request_ctx.is_reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note)
    return trace


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    watch_for_dead_network(opened)
    return opened
