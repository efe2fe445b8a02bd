"""The HTTP client of the models' servers. Does I/O: connects, sends, reads.

In: a ``Target``, a path and a body. Out: an open ``aiohttp`` response, or a ``TargetError`` that says what was seen.
Names are looked up for each connection, so that a server which comes back under a new address is found by the next
request; connections to this stack's engines are used once, because llama.cpp's server cuts used ones.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from gateway.catalog.values import Provider, Target
from gateway.lanes.refusals import classify_refusal
from gateway.outcomes import BROKEN_ANSWER, CERTIFICATE_WRONG, TIMED_OUT, UNREACHABLE, TargetError

_MAX_ERROR_BYTES = 256 * 1024
# A thousand vectors of 4,096 numbers are 50 MB.
_MAX_WHOLE_BYTES = 256 * 1024 * 1024
# An engine's container that is killed takes its network with it, and no end of the connection is ever heard: TCP asks
# whether the other side is still there, and a client hears within 20 s instead of at the time-out.
_PROBE_AFTER_S, _PROBES = 5, 3
_READ_BYTES = 256 * 1024
# Names are looked up in threads of the event loop's pool, which has few: a name server that does not answer for one
# provider must not keep the engines' names from being looked up. Threads are started as they are needed.
_NAME_THREADS = 128
# A body that ends too early, and what is no HTTP at all.
_BROKEN = (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, aiohttp.http_exceptions.HttpProcessingError)


class Upstream:
    """Open connections to all servers of one worker."""

    def __init__(self, trust: ssl.SSLContext | bool = True) -> None:
        """Open nothing yet; ``trust`` is what ``load_trust`` gives."""
        self._trust = trust
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()

    @asynccontextmanager
    async def post(
        self, target: Target, path: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request; gives the response once its head is there and says 200.

        Raises:
            TargetError: the server cannot be reached, or refuses; also raised for what the caller meets while it reads.
        """
        try:
            async with await self._send(target, path, body, {**_build_headers(target), **headers}) as response:
                if response.status != 200:
                    raise classify_refusal(response.status, response.headers, await _read_error(response))
                yield response
        except TargetError:
            raise
        except TimeoutError as error:  # aiohttp's connect time-outs are one of these too
            raise TargetError(TIMED_OUT) from error
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError) as error:
            raise TargetError(CERTIFICATE_WRONG) from error
        except _BROKEN as error:
            raise TargetError(BROKEN_ANSWER) from error
        except (aiohttp.ClientError, OSError) as error:
            raise TargetError(UNREACHABLE) from error

    async def ask(self, target: Target, path: str, value: object, headers: Mapping[str, str]) -> dict[str, Any]:
        """Send a value as JSON; the JSON object that answers it.

        Raises:
            TargetError: as ``post``, or the answer is no JSON object.
        """
        async with self.post(target, path, orjson.dumps(value), headers) as response:
            body = await read_whole(response)
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise TargetError(BROKEN_ANSWER) from error
        if not isinstance(answer, dict):
            raise TargetError(BROKEN_ANSWER)
        return answer

    async def _send(self, target: Target, path: str, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
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
        if not self._sessions:
            names = ThreadPoolExecutor(_NAME_THREADS, thread_name_prefix="names")
            asyncio.get_running_loop().set_default_executor(names)
        fresh, proxied = _kind_of(provider)
        connector = aiohttp.TCPConnector(
            limit=0, use_dns_cache=False, force_close=fresh, socket_factory=_open_socket, ssl=self._trust
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=proxied,
            read_bufsize=_READ_BYTES,
            headers={"user-agent": "stack-gateway"},
            trace_configs=[] if fresh else [_watch_reuse()],
        )
        self._sessions[fresh, proxied] = session
        return session


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


def _build_headers(target: Target) -> dict[str, str]:
    headers = {"content-type": "application/json", **dict(target.headers)}
    if target.provider.speaks_anthropic:
        headers.setdefault("anthropic-version", "2023-06-01")
        if target.key:
            headers["x-api-key"] = target.key
    elif target.key:
        headers["authorization"] = f"Bearer {target.key}"
    return headers


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _PROBE_AFTER_S), ("TCP_KEEPINTVL", _PROBE_AFTER_S), ("TCP_KEEPCNT", _PROBES)):
        if hasattr(socket, name):  # macOS names one of them otherwise
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return opened


async def read_whole(response: aiohttp.ClientResponse) -> bytes:
    """The whole body of an answer.

    Raises:
        TargetError: it is longer than any answer.
    """
    pieces: list[bytes] = []
    left = _MAX_WHOLE_BYTES
    while piece := await response.content.readany():
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise TargetError(BROKEN_ANSWER)
    return b"".join(pieces)


async def _read_error(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal, cut where it gets absurd; what breaks while it is read does not matter."""
    try:
        async with asyncio.timeout(5):
            return await response.content.read(_MAX_ERROR_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        return b""
