"""Several processes that serve: the parent that forks them, replaces them and holds the arbiter of their slots.

In: how to build the application. Does I/O: forks, signals, the arbiter's sockets. Everything is loaded once and then
forked, so a further worker costs milliseconds and mostly shared memory, and one that dies is replaced at once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead

from gateway.edge.server import STARTUP_FAILED, BuildApp, serve_here, stop_on_signals
from gateway.queue.arbiter import Arbiter
from gateway.queue.remote import RemoteSlots
from gateway.settings import Settings

_LOG = logging.getLogger("gateway.server")

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A worker that lived shorter than this is replaced more slowly each time.
_SETTLED_S = 10.0
_MAX_BACKOFF_S = 10.0
# What a worker may take to end beyond the time that its requests have.
_GRACE_S = 5.0


class Workers:
    """The processes that serve, and the parent that replaces them.

    Args:
        queue_length: number of requests that may wait for one server, over all workers.
    """

    def __init__(self, build_app: BuildApp, settings: Settings, listener: socket.socket, queue_length: int) -> None:
        self._build_app = build_app
        self._settings = settings
        self._listener = listener
        self._arbiter = Arbiter(queue_length)
        self._started: dict[int, float] = {}
        self._short_lives = 0
        self._next_start_s = 0.0
        self._is_stopping = False
        self._status = 0

    def run(self) -> int:
        """Keep the workers alive until a signal arrives, then end them; returns the exit status."""
        self._listen_to_signals()
        while not self._is_stopping:
            self._arbiter.serve(self._start_missing())
            self._reap()
        self._end_workers()
        return self._status

    def _listen_to_signals(self) -> None:
        """Let signals end the arbiter's wait, so that nothing here polls."""
        self._waker, waker = socket.socketpair()
        self._waker.setblocking(False)
        self._arbiter.wake_on(waker)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _do_nothing)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _start_missing(self) -> float | None:
        """Start the workers that are missing; returns the seconds until the next may start, None when none is."""
        while len(self._started) < self._settings.workers:
            wait_s = self._next_start_s - time.monotonic()
            if wait_s > 0:
                return wait_s
            self._start()
        return None

    def _start(self) -> None:
        channel = self._arbiter.connect()
        # A signal that the child gets before it has its own handlers waits for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become_worker(channel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        channel.close()
        self._started[pid] = time.monotonic()

    def _become_worker(self, channel: socket.socket) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            stop_on_signals()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
            self._waker.close()
            self._arbiter.close()
            slots = RemoteSlots(channel, on_loss=lambda: os.kill(os.getpid(), signal.SIGTERM))
            status = serve_here(self._build_app, self._settings, self._listener, slots)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            _LOG.exception("worker %d failed", os.getpid())
        finally:
            # Not by returning: the parent's stack and its exit handlers are the parent's.
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._started:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            started_s = self._started.pop(pid, time.monotonic())
            # Or its requests in progress would be counted for ever.
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
            if not self._is_stopping:
                self._note_death(pid, os.waitstatus_to_exitcode(status), time.monotonic() - started_s)

    def _note_death(self, pid: int, code: int, lived_s: float) -> None:
        _LOG.error("worker %d ended with status %d and is replaced", pid, code)
        self._short_lives = self._short_lives + 1 if lived_s < _SETTLED_S else 0
        delay_s = min(_MAX_BACKOFF_S, 0.0 if self._short_lives < 2 else 2.0**self._short_lives / 4)
        self._next_start_s = time.monotonic() + delay_s
        if code == STARTUP_FAILED:
            self._status, self._is_stopping = code, True

    def _end_workers(self) -> None:
        """Let the workers finish what they serve, and go on leasing slots to it meanwhile."""
        # Or the kernel would still accept connections that nobody is going to serve.
        self._listener.close()
        self._signal(signal.SIGTERM)
        deadline_s = time.monotonic() + self._settings.shutdown_s + _GRACE_S
        while self._started and (left_s := deadline_s - time.monotonic()) > 0:
            self._arbiter.serve(left_s)
            self._reap()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._started:
            os.kill(pid, number)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """SIGCHLD needs a handler to wake the parent."""
