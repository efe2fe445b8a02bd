"""Run the gateway: one process, or several that share one listening socket.

In: ``Settings`` and how to build the application once everything it needs is loaded. Does I/O: listens, waits for
signals.
"""

from __future__ import annotations

import gc
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from gateway.edge.connection import Connection
from gateway.queue.remote import RemoteSlots
from gateway.queue.slots import DEFAULT_LENGTH, SlotQueue, Slots
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.edge.asgi import Application

STARTUP_FAILED = 3
# Clients keep connections for a minute; a shorter time-out here would cut one just as it is used again.
_KEEP_ALIVE_S = 75

# Makes the application that asks this queue for slots; called in the process that serves.
BuildApp = Callable[[SlotQueue], "Application"]


def bind(settings: Settings) -> socket.socket:
    """Take the port without listening yet: it is refused to others, and clients are refused until we are ready.

    Raises:
        OSError: the address is in use or not ours.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.set_inheritable(True)
    return listener


def stop_on_signals() -> None:
    """End with status 0 on SIGTERM and SIGINT, also before the server is there to handle them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def serve(build_app: BuildApp, settings: Settings, listener: socket.socket, queue_length: int = DEFAULT_LENGTH) -> int:
    """Serve until a signal arrives; returns the exit status.

    After the signal no connection is accepted; requests under way, also those that wait for a slot, get
    ``settings.shutdown_s`` to end and are then cut.
    """
    # What is loaded by now is left out of every later collection, which also keeps it shared between workers.
    gc.collect()
    gc.freeze()
    if settings.workers == 1:
        return serve_here(build_app, settings, listener, Slots(queue_length))
    from gateway.edge.workers import Workers

    return Workers(build_app, settings, listener, queue_length).run()


def serve_here(build_app: BuildApp, settings: Settings, listener: socket.socket, slots: Slots | RemoteSlots) -> int:
    """Serve in this process until a signal arrives; returns the exit status."""
    config = uvicorn.Config(
        build_app(slots),
        log_config=None,
        loop="gateway.edge.loop:build_loop",
        http=Connection,
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_s,
    )
    server = _Server(config, slots)
    server.run(sockets=[listener])
    return 0 if server.started else STARTUP_FAILED


class _Server(uvicorn.Server):
    """A server that asks for its slots in the loop in which it serves."""

    def __init__(self, config: uvicorn.Config, slots: Slots | RemoteSlots) -> None:
        super().__init__(config)
        self._slots = slots

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Reach the arbiter before the first request."""
        if isinstance(self._slots, RemoteSlots):
            await self._slots.open()
        await super().startup(sockets)
