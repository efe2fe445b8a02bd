"""One connection to Redis that is kept: opened, watched, and opened again. Does I/O: a socket, a task.

Commands are sent as they come and answered in their order, so one connection serves all requests of a worker. A
request never waits for a connection: while there is none, and when an answer takes longer than ``ANSWER_S``, it is
told that Redis is away.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from gateway.observe.logs import note
from gateway.redis_place import RedisPlace
from gateway.shared.resp import ErrorReply, MalformedError, Reader, write_command

_LOG = logging.getLogger("gateway.limits")

# The longest that a request is held by a Redis that has stopped to answer, once: from then on it is known.
ANSWER_S = 0.5
CONNECT_S = 1.0
# A Redis that does not answer is noticed within this time also when nobody asks it.
WATCH_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_PASSWORD_CODES = frozenset({"WRONGPASS", "NOAUTH", "ERR"})


class AwayError(Exception):
    """Redis does not answer, or for the reason that it says."""


class Connection:
    """The connection of one worker.

    Args:
        trust: what a certificate is checked by; None without TLS.
        on_open: called whenever it stands again, before anything else is sent.
        on_watch: called every ``WATCH_S`` while it stands.
    """

    def __init__(
        self, place: RedisPlace, trust: ssl.SSLContext | None, on_open: Callable[[], None], on_watch: Callable[[], None]
    ) -> None:
        self.place = place
        self._trust = trust
        self.reason = "has not been reached yet"
        self._on_open = on_open
        self._on_watch = on_watch
        self._wire: _Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._first = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether it answers, as far as is known."""
        return self._wire is not None

    async def open(self) -> None:
        """Start to keep the connection; returns once it stands or was tried."""
        self._task = asyncio.get_running_loop().create_task(self._keep())
        await self._first.wait()

    async def close(self) -> None:
        """Send what was said and give the connection up."""
        if self._wire is not None:
            await self._wire.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, *words: bytes | str | int) -> Any:
        """Send a command and wait for its reply.

        Raises:
            AwayError: there is no connection, or no reply within ``ANSWER_S``.
            ErrorReply: it was refused.
        """
        if self._wire is None:
            raise AwayError
        reply = await self._wire.send(*words)
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def say(self, *words: bytes | str | int, on_loss: Callable[[], None] = lambda: None) -> None:
        """Send a command whose reply nobody waits for.

        Args:
            on_loss: called where there is no connection, or it is lost before the reply, so that nobody knows what was
                done, and where the command was refused.
        """
        if self._wire is None:
            on_loss()
            return

        def look(future: asyncio.Future[Any]) -> None:
            if not future.cancelled() and (future.exception() or isinstance(future.result(), ErrorReply)):
                on_loss()

        self._wire.send(*words).add_done_callback(look)

    async def _keep(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            wire = _Wire()
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._connect(wire)
            except (OSError, UnicodeError, AwayError, ErrorReply, MalformedError) as error:
                wire.abort()
                self._note_away(_explain(error))
                self._first.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self._wire, self.reason = wire, ""
            note(_LOG, logging.INFO, "limits are shared", {"redis": self.place.address})
            self._on_open()
            self._first.set()
            await self._watch(wire)
            self._wire = None
            self._note_away("does not answer")

    async def _connect(self, wire: _Wire) -> None:
        place, password = self.place, _read_password(self.place)
        await asyncio.get_running_loop().create_connection(lambda: wire, place.host, place.port, ssl=self._trust)
        if password:
            await wire.demand("AUTH", *([place.user] if place.user else []), password)
        await wire.demand("SELECT", place.database)
        await wire.demand("PING")  # refused while it loads what it has kept

    async def _watch(self, wire: _Wire) -> None:
        """Wait until the connection is lost, and see now and then whether it is."""
        while not wire.is_lost.is_set():
            try:
                async with asyncio.timeout(WATCH_S):
                    await wire.is_lost.wait()
            except TimeoutError:
                wire.send("PING").add_done_callback(_forget)
                self._on_watch()

    def _note_away(self, reason: str) -> None:
        """Say it once for each reason, and not for each try."""
        if reason != self.reason:
            self.reason = reason
            facts = {"redis": self.place.address, "reason": reason, "rule": self.place.away}
            note(_LOG, logging.WARNING, "limits are not shared", facts)


class _Wire(asyncio.Protocol):
    """One connection as long as it lasts."""

    def __init__(self) -> None:
        self.is_lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._pending: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, *words: bytes | str | int) -> asyncio.Future[Any]:
        """Send a command; its reply comes, or ``AwayError`` within ``ANSWER_S``."""
        future = self._loop.create_future()
        if self._transport is None or self.is_lost.is_set():
            future.set_exception(AwayError())
            return future
        self._pending.append((self._loop.time() + ANSWER_S, future))
        self._transport.write(write_command(*words))
        if self._timer is None:
            self._timer = self._loop.call_later(ANSWER_S, self._look)
        return future

    async def demand(self, *words: bytes | str | int) -> None:
        """Send a command that must succeed."""
        reply = await self.send(*words)
        if isinstance(reply, ErrorReply):
            raise reply

    async def end(self) -> None:
        """Wait for the replies that are under way, for a moment, and close."""
        if self._pending:
            await asyncio.wait([future for _, future in self._pending], timeout=ANSWER_S)
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        self._timer = None
        if not self._pending:
            return
        left_s = self._pending[0][0] - self._loop.time()
        if left_s <= 0:
            self._lose()
        else:
            self._timer = self._loop.call_later(left_s, self._look)

    def _lose(self) -> None:
        self.is_lost.set()
        self.abort()
        while self._pending:
            _, future = self._pending.popleft()
            if not future.done():
                future.set_exception(AwayError())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio once it stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with replies."""
        try:
            replies = self._reader.feed(data)
        except MalformedError:
            self._lose()
            return
        for reply in replies:
            if self._pending:
                _, future = self._pending.popleft()
                if not future.done():
                    future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio when it is gone."""
        self._lose()


def _forget(future: asyncio.Future[Any]) -> None:
    """Look at an outcome that nobody waits for, so that asyncio does not tell of it."""
    if not future.cancelled():
        future.exception()


def _read_password(place: RedisPlace) -> str:
    if not place.password_file:
        return place.password
    try:
        return Path(place.password_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        seen = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AwayError(f"has a password file that cannot be read: {seen}") from None


def _explain(error: BaseException) -> str:
    """Why there is no connection, in words that hold no password."""
    if isinstance(error, AwayError):
        return str(error) or "does not answer"
    if isinstance(error, UnicodeError):
        return "cannot be reached: its address has no name of a host"
    if isinstance(error, ErrorReply):
        is_password = error.code in _PASSWORD_CODES
        return f"refused the {'password' if is_password else 'connection'} ({error.code})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS as it should: {error.reason or type(error).__name__}"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, TimeoutError):
        return f"cannot be reached: {error.strerror}"
    return "does not answer"
