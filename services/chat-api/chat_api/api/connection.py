"""One connection as uvicorn serves it with httptools, with fewer system calls. Does I/O: that connection.

The head of an answer is sent in one packet with the beginning of its body: where cores are busy, one call less is worth
more than all the rest of the service's work.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """A connection of a client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by asyncio."""
        super().connection_made(_JoinedHead(transport, self.loop))  # type: ignore[arg-type]


class _JoinedHead:
    """A transport that keeps the head of an answer until the next bytes are written, which uvicorn does at once.

    Where nothing follows, it is sent with the next turn of the loop. Nothing is ever overtaken.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1."):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""
