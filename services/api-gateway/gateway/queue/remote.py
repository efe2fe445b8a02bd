"""A worker's side of the arbiter in its parent: the methods of ``Slots`` over a socket. Does I/O: that socket.

A worker without its parent could not know what the others hold, so it ends when the socket does.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson

from gateway.queue.bounds import (
    Admission,
    BaseNeededError,
    Bounded,
    Bounds,
    Cost,
    Limit,
    OverLimitError,
    Taken,
    unpack_standing,
)
from gateway.queue.line import QueueError, QueueFullError, QueueTimeoutError
from gateway.queue.slots import Lease, LineState


class RemoteSlots(asyncio.Protocol):
    """Leases of the arbiter at the other end of a socket.

    Args:
        channel: the worker's end of ``Arbiter.connect``.
        on_loss: called once when the parent is gone.
    """

    def __init__(self, channel: socket.socket, on_loss: Callable[[], None]) -> None:
        self._channel = channel
        self._on_loss = on_loss
        self._numbers = itertools.count()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._transport: asyncio.WriteTransport | None = None
        self._unread = b""

    async def open(self) -> None:
        """Start to listen; called once, in the event loop that the requests will run in."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._channel)

    def close(self) -> None:
        """Give up everything that is held and waited for."""
        if self._transport is not None:
            self._transport.close()

    async def acquire(self, server: str, slots: int | None, weight: int, key: str, wait_s: float) -> Lease:
        """See ``SlotQueue``."""
        if not slots:
            return Lease()
        number = next(self._numbers)
        timer = asyncio.get_running_loop().call_later(wait_s, self._say, "expire", number)
        try:
            await self._ask("ask", number, server, slots, weight, key)
        except QueueTimeoutError as error:
            raise QueueTimeoutError(f"no slot was free within {wait_s:g} s", error.retry_after_s) from None
        except BaseException:  # cancelled, perhaps while the lease is on its way
            self._say("end", number)
            raise
        finally:
            timer.cancel()
        return Lease(lambda: self._say("end", number))

    async def enter(
        self, name: str, bounds: Bounds, cost: Cost, base: int | None = None, more: Sequence[Bounded] = ()
    ) -> Admission:
        """See ``SlotQueue``."""
        number = next(self._numbers)
        try:
            others = [[owner, list(its)] for owner, its in more]
            standing = await self._ask("enter", number, name, list(bounds), list(cost), base, others)
        except asyncio.CancelledError:  # perhaps while it is let in
            self._say("leave", number, 0)
            raise
        return Admission(unpack_standing(standing), lambda tokens: self._say("leave", number, tokens))

    async def take_turn(self, name: str, interval_s: float, longest_s: float) -> float:
        """See ``SlotQueue``."""
        wait_s: float = await self._ask("turn", next(self._numbers), name, interval_s, longest_s)
        return wait_s

    async def describe(self) -> dict[str, LineState]:
        """See ``SlotQueue``."""
        lines = await self._ask("describe", next(self._numbers))
        return {server: LineState(*numbers) for server, numbers in lines.items()}

    async def list_taken(self, most: int) -> dict[str, list[Taken]]:
        """See ``SlotQueue``."""
        found = await self._ask("limits", next(self._numbers), most)
        return {name: [Taken(*one) for one in taken] for name, taken in found.items()}

    async def _ask(self, word: str, number: int, *details: object) -> Any:
        future = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            self._say(word, number, *details)
            if self._transport is None:
                raise _build_loss()
            return await future
        finally:
            del self._pending[number]

    def _say(self, *message: object) -> None:
        if self._transport is not None:
            self._transport.write(orjson.dumps(message) + b"\n")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio once the socket is watched."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with what the arbiter says."""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word, number, *details = orjson.loads(line)
            future = self._pending.get(number)
            if future is not None and not future.done():
                _settle(future, word, details)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio when the parent is gone."""
        self._transport = None
        for future in self._pending.values():
            if not future.done():
                future.set_exception(_build_loss())
        self._on_loss()


def _settle(future: asyncio.Future[Any], word: str, details: list[Any]) -> None:
    if word == "full":
        message, retry_after_s = details
        future.set_exception(QueueFullError(message, retry_after_s))
    elif word == "late":
        future.set_exception(QueueTimeoutError(word, details[0]))
    elif word == "over":
        name, limit, wait_s, least, left, standing = details
        over = OverLimitError(Limit(limit), wait_s, least, left, unpack_standing(standing))
        over.name = name
        future.set_exception(over)
    elif word == "base":
        future.set_exception(BaseNeededError(*details))
    else:
        future.set_result(details[0] if details else None)


def _build_loss() -> QueueError:
    return QueueError("the arbiter of the workers is gone", retry_after_s=1)
