"""One plain HTTP/1.1 request over a connection of its own, which is how this stack's engines are asked. Does I/O.

In: a ``Target`` whose address is plain HTTP, a path, headers and a body. Out: an ``Answer``, or a ``TargetError`` that
says what was seen. No pool, no TLS, no proxy and no redirects: what is left costs a third of a general client's CPU
for each piece of a stream, and that CPU is taken from the engine where they share cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

import httptools

from gateway.catalog.values import Target
from gateway.lanes.answer import Take
from gateway.lanes.sockets import watch_for_dead_network
from gateway.outcomes import BROKEN_ANSWER, TIMED_OUT, UNREACHABLE, TargetError

_MAX_HEAD_BYTES = 64 * 1024
# What is kept of an answer that nobody reads before its server is made to wait.
_MAX_HELD_BYTES = 256 * 1024


@asynccontextmanager
async def post_plain(target: Target, path: str, headers: Mapping[str, str], body: bytes) -> AsyncIterator[PlainAnswer]:
    """Send one request; gives the answer once its head is there, whatever it says.

    Raises:
        TargetError: the server cannot be reached, or what it answers is not HTTP.
    """
    host, port, address, base = _read_address(target.base_url)
    try:
        async with asyncio.timeout(target.provider.timeouts.connect_s):
            transport, answer = await _connect(host, port)
    except TimeoutError as error:
        raise TargetError(TIMED_OUT) from error
    except OSError as error:
        raise TargetError(UNREACHABLE) from error
    try:
        answer.send(_build_head(f"{base}{path}", address, headers, len(body)) + body)
        await answer.wait_for_head()
        yield answer
    finally:
        transport.abort()  # not close(), which would first send what is left of a request that nobody waits for


def takes_plain(target: Target) -> bool:
    """Whether a target can be asked this way."""
    provider = target.provider
    return provider.fresh_connections and not provider.is_proxied and target.base_url.startswith("http://")


async def _connect(host: str, port: int) -> tuple[asyncio.Transport, PlainAnswer]:
    """A connection to the first of the host's addresses that takes one.

    Raises:
        OSError: none does, or the host has none.
    """
    if _read_ip(host):
        return await _connect_to(host, port)
    loop = asyncio.get_running_loop()
    # Not left to the connection: uvloop would look the name up in threads that are few.
    found = [str(item[4][0]) for item in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found[:-1]:
        with contextlib.suppress(OSError):
            return await _connect_to(address, port)
    return await _connect_to(found[-1], port)


async def _connect_to(address: str, port: int) -> tuple[asyncio.Transport, PlainAnswer]:
    transport, answer = await asyncio.get_running_loop().create_connection(PlainAnswer, address, port)
    ip = _read_ip(address)
    if ip is None or not ip.is_loopback:  # this machine's own network does not go away
        watch_for_dead_network(transport.get_extra_info("socket"))
    return transport, answer


@lru_cache(maxsize=256)
def _read_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _read_address(base_url: str) -> tuple[str, int, str, str]:
    """Host, port, the value of ``Host``, and what paths are put behind."""
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or 80, parts.netloc.rpartition("@")[2], parts.path


def _build_head(path: str, address: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    head = f"POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{lines}\r\n"
    return head.encode("latin-1")


class PlainAnswer(asyncio.Protocol):
    """The answer to the only request of a connection; see ``Answer``.

    Methods that no caller of ``Answer`` knows are called by asyncio, and those that begin with ``on_`` by the parser.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        # Whether who waits has been given enough; false where something else has changed.
        self._waiter: asyncio.Future[bool] | None = None
        self._take: Take | None = None
        self._pieces: list[bytes] = []
        self._held_bytes = self._head_bytes = 0
        self._has_head = self._is_paused = self._is_over = False
        self._error: TargetError | None = None

    def send(self, data: bytes) -> None:
        """Send the request; nothing where the connection is lost already, which waiting then tells."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    async def wait_for_head(self) -> None:
        """Wait until status and headers are there.

        Raises:
            TargetError: the connection ended before, or what arrived is not HTTP.
        """
        while not self._has_head:
            if self._error:
                raise self._error
            await self._wait()

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            TargetError: the connection ended before the body did.
        """
        while not self._pieces:
            if self._error:
                raise self._error
            if self._is_over:
                return b""
            await self._wait()
        return self._collect()

    async def pass_to(self, take: Take) -> None:
        """See ``Answer``. Pieces are handed over where asyncio hands them to us: no task is woken for each."""
        while not (self._pieces and not take(self._collect())):
            if self._error:
                raise self._error
            if self._is_over:
                raise TargetError(BROKEN_ANSWER)
            self._take = take
            try:
                if await self._wait():
                    return
            finally:
                self._take = None

    def _collect(self) -> bytes:
        """All that is held; the server may send more."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held_bytes = 0
        if self._is_paused and self._transport and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def _wait(self) -> bool:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def _wake(self, has_enough: bool = False) -> None:
        self._take = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(has_enough)

    def _hand_over(self, take: Take) -> None:
        try:
            has_enough = not take(self._collect())
        except Exception as error:
            self._take = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
            return
        if has_enough or self._is_over:
            self._wake(has_enough)

    def _fail(self, error: TargetError) -> None:
        if not self._is_over and self._error is None:
            self._error = error
        self._wake()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            broken = TargetError(BROKEN_ANSWER)
            broken.__cause__ = error
            self._fail(broken)
            return
        if self._take is not None:
            if self._pieces:
                self._hand_over(self._take)
            elif self._is_over:
                self._wake()
            return
        if not self._has_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._fail(TargetError(BROKEN_ANSWER))
        elif self._held_bytes > _MAX_HELD_BYTES and not self._is_paused and self._transport:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        # A body without a length goes on to the end of its connection.
        if exc is None and self._has_head and not {"content-length", "transfer-encoding"} & self.headers.keys():
            self._is_over = True
        error = TargetError(BROKEN_ANSWER if self._has_head else UNREACHABLE)
        error.__cause__ = exc
        self._fail(error)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = self.status >= 200
        if not self._has_head:  # the real one follows
            self.headers.clear()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._held_bytes += len(body)

    def on_message_complete(self) -> None:
        self._is_over = self._has_head
