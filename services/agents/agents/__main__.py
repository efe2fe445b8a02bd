"""Start the agents from environment variables alone: ``python -m agents``.

Does I/O: takes the port, runs until a signal arrives. Exit status: 0 stopped by a signal, 3 a setting is wrong, 5 the
port cannot be taken.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import FrameType

from agents.settings import Settings, SettingsError, parse_settings

SETTING_WRONG, STARTUP_FAILED, PORT_TAKEN = 3, 3, 5
_KEEP_ALIVE_S = 75
_SHUTDOWN_S = 20


def main() -> int:
    """Check what can be checked in milliseconds, then serve."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    try:
        settings = parse_settings(os.environ)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return SETTING_WRONG
    try:
        listener = _bind(settings)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        print(f"error: cannot listen on {place}: {error.strerror}; change AGENTS_PORT", file=sys.stderr)
        return PORT_TAKEN
    return _serve(settings, listener)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _bind(settings: Settings) -> socket.socket:
    """Take the port without listening yet, so that clients are refused until the service is ready."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    return listener


def _serve(settings: Settings, listener: socket.socket) -> int:
    import uvicorn

    from agents.app import build_app
    from agents.observe import configure_logging

    try:
        configure_logging(settings.log_level, settings.log_file)
    except OSError as error:
        seen = settings.log_file
        print(f"error: AGENTS_LOG_FILE is {seen!r}, which cannot be written: {error.strerror}", file=sys.stderr)
        return SETTING_WRONG
    config = uvicorn.Config(
        build_app(settings),
        log_config=None,
        http="httptools",
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else STARTUP_FAILED


if __name__ == "__main__":
    sys.exit(main())
