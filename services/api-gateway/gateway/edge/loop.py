"""The event loop that a worker serves in: uvloop's, with names looked up in the worker's own threads. Does I/O."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvloop


class Loop(uvloop.Loop):
    """uvloop's loop.

    libuv looks names up in four threads, two at a time: a name server that does not answer for one provider would keep
    the engines' names from being looked up. ``Upstream`` sizes the pool that is used instead.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: int) -> list[Any]:
        """As ``socket.getaddrinfo``, which decides; at once for an address."""
        return await self.run_in_executor(None, lambda: socket.getaddrinfo(host, port, **hints))


def build_loop() -> asyncio.AbstractEventLoop:
    """A new loop; uvicorn is given this function by its name."""
    return Loop()
