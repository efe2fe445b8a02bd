"""Run the service: one process on one listening socket. Does I/O: listens, waits for signals."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from chat_api.config.settings import Settings

STARTUP_FAILED = 3
# Clients keep connections for a minute; a shorter time-out here would cut one just as it is used again.
_KEEP_ALIVE_S, _SHUTDOWN_S = 75, 20


def bind(settings: Settings) -> socket.socket:
    """Take the port without listening yet.

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


def serve(app: ASGIApp, listener: socket.socket) -> int:
    """Serve until a signal arrives; returns the exit status. Requests under way get 20 s to end and are then cut."""
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        log_config=None,
        loop="uvloop",
        http="httptools",
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else STARTUP_FAILED
