"""One connection as uvicorn serves it with httptools, with bounds that uvicorn has not. Does I/O: that connection.

- A head has to be whole within half a minute and within 64 KiB and one packet more: no key is checked before.
- An offer to go on in another protocol is overheard. Java's HTTP client offers HTTP/2 with every first request, and
  the parser would take the request's body for the other protocol's and leave it out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.edge.asgi import PUSH, WATCH

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 30.0

_OFFER = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)
_TOO_LARGE = b"431 Request Header Fields Too Large", b"The head of the request is larger than 65536 bytes."
_TOO_SLOW = b"408 Request Timeout", b"The head of the request did not arrive within 30 s."


class Connection(HttpToolsProtocol):
    """A connection of a client."""

    _is_in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by asyncio."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        self._watched: list[Callable[[], None]] = []

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._head_timer.cancel()
        super().connection_lost(exc)
        for leave in tuple(self._watched):
            leave()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with what the client sent."""
        if self._is_in_head:
            self._head_bytes += len(data)
            data = _overhear_offer(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(*_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Called by the parser with the first byte of a request."""
        self._head_timer.cancel()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._head_timer.cancel()
        self._is_in_head = False
        super().on_headers_complete()
        extensions: Any = {PUSH: partial(_push, self.cycle), WATCH: self._watch}
        self.scope["extensions"] = extensions

    def on_message_complete(self) -> None:
        """Called by the parser with the last byte of a request."""
        super().on_message_complete()
        self._is_in_head, self._head_bytes = True, 0

    def _watch(self, leave: Callable[[], None]) -> Callable[[], None]:
        """Call ``leave`` when the connection is lost; returns what ends that."""
        self._watched.append(leave)
        self.flow.resume_reading()  # or nobody would hear it
        return lambda: self._watched.remove(leave)

    def _give_up(self) -> None:
        if self._head_bytes:
            self._refuse(*_TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, status: bytes, text: bytes) -> None:
        is_free = self.cycle is None or self.cycle.response_complete
        if is_free and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n"
                b"\r\n%s" % (status, len(text), text)
            )
        self.transport.close()


def _push(cycle: RequestResponseCycle, data: bytes) -> bool:
    """Write a chunk of a streamed body without a turn through ASGI, which costs as much as the rest of its way."""
    if not cycle.disconnected:
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
    return not cycle.flow.write_paused


def _overhear_offer(data: bytes) -> bytes:
    """The head of a request without its Upgrade headers; a body that begins behind it stays as it is."""
    end = data.find(b"\r\n\r\n")
    end = len(data) if end < 0 else end
    if _OFFER.search(data, 0, end) is None:
        return data
    return _OFFER.sub(b"", data[:end]) + data[end:]
