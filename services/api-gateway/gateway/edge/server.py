"""Run the gateway: one process, or several that share one listening socket.

In: ``Settings`` and an application that is loaded already. Does I/O: listens, forks, waits for signals. With
several workers the application is loaded once and then forked, so a further worker costs milliseconds and mostly
shared memory, and a worker that dies is replaced at once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client.multiprocess import mark_process_dead

from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.edge.asgi import Application as ASGIApp

_LOG = logging.getLogger("gateway.server")

STARTUP_FAILED = 3
_POLL_S = 0.1
# A worker that lived shorter than this is replaced more slowly each time.
_SETTLED_S = 10.0
_MAX_BACKOFF_S = 10.0
# Clients keep connections for a minute; a shorter time-out here would cut one just as it is used again.
_KEEP_ALIVE_S = 75


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


def serve(app: ASGIApp, settings: Settings, listener: socket.socket) -> int:
    """Serve until a signal arrives; returns the exit status."""
    if settings.workers == 1:
        return _serve_here(app, settings, listener)
    return _Workers(app, settings, listener).run()


def _serve_here(app: ASGIApp, settings: Settings, listener: socket.socket) -> int:
    config = uvicorn.Config(
        app,
        log_config=None,
        # Not uvloop: two side-by-side runs showed no gain, see docs/decisions/gateway-tuning.md.
        loop="asyncio",
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_s,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else STARTUP_FAILED


def _end_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


class _Workers:
    """The processes that serve, and the parent that replaces them."""

    def __init__(self, app: ASGIApp, settings: Settings, listener: socket.socket) -> None:
        self._app = app
        self._settings = settings
        self._listener = listener
        self._started: dict[int, float] = {}
        self._short_lives = 0
        self._is_stopping = False
        self._status = 0
        # Nothing is ever written: a worker reads the end of it when the parent is gone, however it went.
        self._lifeline, self._parent_end = os.pipe()

    def run(self) -> int:
        """Keep the workers alive until a signal arrives, then end them; returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._is_stopping:
            self._reap()
            if not self._is_stopping and len(self._started) < self._settings.workers:
                self._start()
            time.sleep(_POLL_S)
        self._end_workers()
        return self._status

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _start(self) -> None:
        delay_s = min(_MAX_BACKOFF_S, 0.0 if self._short_lives < 2 else 2.0**self._short_lives / 4)
        if self._started and time.monotonic() - max(self._started.values()) < delay_s:
            return
        pid = os.fork()
        if pid == 0:
            self._become_worker()
        self._started[pid] = time.monotonic()

    def _become_worker(self) -> None:
        stop_on_signals()
        os.close(self._parent_end)
        threading.Thread(target=_end_with_parent, args=(self._lifeline,), daemon=True).start()
        status = 1
        try:
            status = _serve_here(self._app, self._settings, self._listener)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            # Not by returning: the parent's stack and its exit handlers are the parent's.
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._started:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            started = self._started.pop(pid, time.monotonic())
            # Or its requests in progress would be counted for ever.
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
            code = os.waitstatus_to_exitcode(status)
            if self._is_stopping:
                continue
            _LOG.error("worker %d ended with status %d and is replaced", pid, code)
            self._short_lives = self._short_lives + 1 if time.monotonic() - started < _SETTLED_S else 0
            if code == STARTUP_FAILED:
                self._status, self._is_stopping = code, True

    def _end_workers(self) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.shutdown_s + 5
        while self._started and time.monotonic() < deadline:
            self._reap()
            time.sleep(_POLL_S)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._started:
            os.kill(pid, number)
