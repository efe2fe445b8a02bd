"""One arbiter of leases for all workers, in the parent that forks them. Does I/O: one socket pair a worker.

In: lines of JSON from workers. Out: lines of JSON to them. A worker says

    ["ask", number, server, slots, weight, key]     and hears ["leased", number] or ["full", number, message, seconds]
    ["expire", number]                              and hears ["late", number, seconds] unless it holds the lease
    ["end", number]                                 and hears nothing: what it held or waited for is given up
    ["enter", number, name, bounds, cost, base,     and hears ["entered", number, standing],
     [[name, bounds]]]                              ["over", number, name, limit, seconds to wait, need, left, standing]
                                                    or ["base", number, start, end]
    ["leave", number, tokens]                       and hears nothing: what the request really took
    ["turn", number, name, interval, longest]       and hears ["wait", number, seconds]
    ["limits", number, most]                        and hears ["taken", number, {name: [[kind, limit, used]]}]
    ["describe", number]                            and hears ["lines", number, {server: [slots, leased, waiting]}]

A worker that dies closes its socket, and all that it held is given back at once; what its requests were expected to
take stays counted, since nobody knows what they took. No asyncio: the parent forks, and a child must not inherit a
running loop.
"""

from __future__ import annotations

import selectors
import socket
import time
from typing import Any

import orjson

from gateway.queue.account import Entry
from gateway.queue.bounds import BaseNeededError, Bounds, Cost, OverLimitError, pack_standing
from gateway.queue.ledger import Ledger
from gateway.queue.line import Line, QueueFullError, State, Ticket
from gateway.queue.slots import DEFAULT_LENGTH

_READ_BYTES = 64 * 1024


class Arbiter:
    """The lines of all servers, and the workers that ask for places in them.

    Args:
        length: number of requests that may wait for one server, of all workers together.
    """

    def __init__(self, length: int = DEFAULT_LENGTH) -> None:
        self.length = length
        self.clock = time.monotonic
        self.lines: dict[str, Line] = {}
        self.ledger = Ledger()
        self._selector = selectors.DefaultSelector()
        self._wakers: set[socket.socket] = set()

    def connect(self) -> socket.socket:
        """The socket for one worker more; after the fork the parent closes it and the worker keeps it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._selector.register(ours, selectors.EVENT_READ, _Worker(self, ours, self._selector))
        return theirs

    def wake_on(self, waker: socket.socket) -> None:
        """Also end ``serve`` when something arrives at this socket, which is then read empty."""
        self._wakers.add(waker)
        self._selector.register(waker, selectors.EVENT_READ, None)

    def serve(self, timeout_s: float | None) -> None:
        """Answer what workers have asked; returns after the first of it, or after ``timeout_s``."""
        for key, events in self._selector.select(timeout_s):
            worker: _Worker | None = key.data
            if worker is None:
                key.fileobj.recv(_READ_BYTES)  # type: ignore[union-attr]
                continue
            if events & selectors.EVENT_WRITE:
                worker.write()
            if events & selectors.EVENT_READ:
                worker.read()

    def close(self) -> None:
        """Close what belongs to the parent; a forked worker does it first of all."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


class _Worker:
    """The parent's side of one worker."""

    def __init__(self, arbiter: Arbiter, channel: socket.socket, selector: selectors.BaseSelector) -> None:
        self._arbiter = arbiter
        self._channel = channel
        self._selector = selector
        self._asked: dict[int, tuple[Line, Ticket]] = {}
        self._entered: dict[int, Entry] = {}
        self._unread = b""
        self._unsent = b""
        self._is_blocked = False
        self._is_closed = False

    def read(self) -> None:
        """Do what the worker asks; at the end of its socket, give back all that it had."""
        try:
            data = self._channel.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._act(*orjson.loads(line))

    def _act(self, word: str, number: int, *details: Any) -> None:
        if word == "ask":
            self._ask(number, *details)
        elif word == "end":
            self._end(number)
        elif word == "expire":
            self._expire(number)
        elif word == "enter":
            self._enter(number, *details)
        elif word == "leave":
            self._leave(number, details[0])
        elif word == "turn":
            self._say("wait", number, self._arbiter.ledger.take_turn(*details))
        elif word == "limits":
            taken = self._arbiter.ledger.list_taken(*details).items()
            self._say("taken", number, {name: [list(one) for one in found] for name, found in taken})
        elif word == "describe":
            lines = self._arbiter.lines.items()
            self._say("lines", number, {name: [line.slots, line.leased, line.waiting] for name, line in lines})

    def _ask(self, number: int, server: str, slots: int, weight: int, key: str) -> None:
        line = self._arbiter.lines.setdefault(server, Line(self._arbiter.length))
        ticket = Ticket(key, weight, lambda: self._say("leased", number))
        try:
            is_leased = line.ask(ticket, slots, self._arbiter.clock())
        except QueueFullError as error:
            self._say("full", number, str(error), error.retry_after_s)
            return
        self._asked[number] = line, ticket
        if is_leased:
            self._say("leased", number)

    def _end(self, number: int) -> None:
        if found := self._asked.pop(number, None):
            line, ticket = found
            line.end(ticket, self._arbiter.clock())

    def _expire(self, number: int) -> None:
        line, ticket = self._asked.get(number, (None, None))
        if line and ticket and ticket.state is State.WAITING:
            self._say("late", number, line.estimate_s())
            self._end(number)

    def _enter(
        self, number: int, name: str, bounds: list[Any], cost: list[Any], base: int | None, more: list[Any]
    ) -> None:
        others = [(owner, Bounds(*its)) for owner, its in more]
        try:
            entry = self._arbiter.ledger.enter(name, Bounds(*bounds), Cost(*cost), base, others)
        except OverLimitError as over:
            standing = pack_standing(over.standing)
            self._say("over", number, over.name, over.limit.value, over.wait_s, over.least, over.left, standing)
        except BaseNeededError as needed:
            self._say("base", number, needed.start_s, needed.end_s)
        else:
            self._entered[number] = entry
            self._say("entered", number, pack_standing(entry.standing))

    def _leave(self, number: int, tokens: int | None) -> None:
        if entry := self._entered.pop(number, None):
            self._arbiter.ledger.leave(entry, tokens)

    def _say(self, *message: object) -> None:
        self._unsent += orjson.dumps(message) + b"\n"
        self.write()

    def write(self) -> None:
        """Send what the socket takes, and the rest when it takes more."""
        try:
            self._unsent = self._unsent[self._channel.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # the worker is gone, which the next read says too
            self._unsent = b""
        if bool(self._unsent) is not self._is_blocked and not self._is_closed:
            self._is_blocked = not self._is_blocked
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._is_blocked else 0)
            self._selector.modify(self._channel, events, self)

    def _close(self) -> None:
        self._is_closed = True
        self._selector.unregister(self._channel)
        self._channel.close()
        # Those that wait first, or each slot that is given back would go to another request of the dead.
        for number in sorted(self._asked, key=lambda number: self._asked[number][1].state is State.LEASED):
            self._end(number)
        for number in list(self._entered):
            self._leave(number, None)
