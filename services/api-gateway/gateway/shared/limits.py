"""Limits that all gateways at one Redis count together: ``SlotQueue`` with its limits there. Does I/O: Redis.

Slots of engines are leased here as ever: an engine is one gateway's. While Redis is away, limits are counted by this
gateway alone or what has limits is refused, as its place says. What could not be told to Redis meanwhile is told when
it is back.
"""

from __future__ import annotations

import itertools
import secrets
import ssl
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from gateway.queue.bounds import (
    Admission,
    BaseNeededError,
    Bounded,
    Bounds,
    Cost,
    Gauge,
    Limit,
    OverLimitError,
    Standing,
    Taken,
)
from gateway.queue.ledger import Clock
from gateway.queue.line import QueueError
from gateway.queue.slots import Lease, LineState, SlotQueue
from gateway.queue.tally import find_span
from gateway.redis_place import RedisPlace
from gateway.shared.connection import AwayError, Connection
from gateway.shared.script import SCRIPT, Script

# How long Redis keeps the places of requests at once for a gateway that it does not hear of.
LEASE_S = 30.0
_RENEW_S = 8.0
# What cannot be told to Redis while it is away; the oldest is forgotten beyond this, and ends with its lease.
MAX_UNTOLD = 10_000
MAX_NAMES = 1024
_NEWEST = 0.2
_PREFIX = "gateway:limits:"
_LIMITS = {1: Limit.REQUESTS, 2: Limit.TOKENS, 3: Limit.PARALLEL, 4: Limit.BUDGET}


class LimitsAwayError(QueueError):
    """Limits cannot be counted, since Redis is away, and what has limits is to be refused then."""


class _Seen(NamedTuple):
    """A name that was asked for: the limits it came with, and how long its requests last, in seconds."""

    bounds: Bounds
    mean_s: float = 0.0


class SharedLimits:
    """What ``SlotQueue`` says, with limits that other gateways count, too.

    Args:
        here: leases slots, and counts limits while Redis is away.
        trust: whom a Redis behind TLS is trusted by.
        is_recorded: whether one database has the records of all these gateways, so that budgets learn from there what
            was used while Redis was away.
        clock: seconds of a clock that never goes back, for how long requests last.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        here: SlotQueue,
        place: RedisPlace,
        trust: ssl.SSLContext | None = None,
        is_recorded: bool = False,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._here, self._is_recorded, self._clock, self._wall = here, is_recorded, clock, wall
        self._connection = Connection(place, trust, self._begin, self._watch)
        self._script = Script(self._connection, SCRIPT.read_bytes())
        self._instance = secrets.token_hex(6)
        self._numbers = itertools.count()
        self._running: dict[str, tuple[str, ...]] = {}
        self._untold: deque[tuple[tuple[str, ...], str, int | None]] = deque(maxlen=MAX_UNTOLD)
        self._names: OrderedDict[str, _Seen] = OrderedDict()
        # Tokens of budgets by their places and the starts of their periods, in seconds since 1970.
        self._owed: Counter[tuple[str, int]] = Counter()
        self._renewed_s = 0.0

    async def open(self) -> None:
        """Reach Redis, or find that it is away; takes about a second at most."""
        await self._connection.open()

    async def close(self) -> None:
        """Tell Redis what is left to tell and give up the connection."""
        await self._connection.close()

    def describe_sharing(self) -> dict[str, Any]:
        """How the limits are counted now, for ``/health``."""
        place, reason = self._connection.place, self._connection.reason or self._script.refusal
        if not reason:
            return {"redis": place.address, "status": "ok"}
        return {"redis": place.address, "status": "away", "reason": reason, "rule": place.away}

    async def acquire(self, server: str, slots: int | None, weight: int, key: str, wait_s: float) -> Lease:
        """See ``SlotQueue``."""
        return await self._here.acquire(server, slots, weight, key, wait_s)

    async def describe(self) -> dict[str, LineState]:
        """See ``SlotQueue``."""
        return await self._here.describe()

    async def enter(
        self, name: str, bounds: Bounds, cost: Cost, base: int | None = None, more: Sequence[Bounded] = ()
    ) -> Admission:
        """See ``SlotQueue``; one round trip for all names together.

        Raises:
            LimitsAwayError: Redis does not answer, and its place says to refuse then.
        """
        pairs = ((name, bounds), *more)
        request = f"{self._instance}:{next(self._numbers)}"
        places = tuple(build_place(owner) for owner, _ in pairs)
        began_s, was_open = self._clock(), self._connection.is_open
        mean_s = self._note_names(pairs)
        words: list[str | int] = ["enter", request, _to_us(LEASE_S), _to_us(mean_s), -1 if base is None else base]
        words += [cost.prompt, cost.answer, int(cost.is_bounded)]
        for _, its in pairs:
            limits = (its.requests_per_minute, its.tokens_per_minute, its.parallel_requests, its.budget_tokens)
            words += [-1 if limit is None else limit for limit in limits]
            words.append(its.budget_period)
        try:
            reply = await self._script.run(places, *words)
        except AwayError:
            if was_open:  # it may have counted all the same
                self._untold.append((places, request, 0))
            return await self._enter_here(name, bounds, cost, base, more)
        except BaseException:  # cancelled, perhaps when it was let in already
            self._tell(places, request, 0)
            raise
        standing = self._read(reply, pairs)
        leased = tuple(
            place for place, (_, its) in zip(places, pairs, strict=True) if its.parallel_requests is not None
        )
        is_settled = bool(leased) or any(its.counts_tokens for _, its in pairs)
        if leased:
            self._running[request] = leased
        return Admission(standing, partial(self._leave, places, request, began_s, name, is_settled))

    async def take_turn(self, name: str, interval_s: float, longest_s: float) -> float:
        """See ``SlotQueue``."""
        try:
            wait_us = await self._script.run(
                (build_place(name),), "turn", _to_us(interval_s), _to_us(max(longest_s, 0.0))
            )
        except AwayError:
            self._refuse_away()
            return await self._here.take_turn(name, interval_s, longest_s)
        return float(wait_us) / 1e6

    async def list_taken(self, most: int) -> dict[str, list[Taken]]:
        """See ``SlotQueue``; of the names that this worker was asked for."""
        names = list(itertools.islice(reversed(self._names.items()), most))
        if not names:
            return {}
        try:
            found = await self._script.run(tuple(build_place(name) for name, _ in names), "look")
        except AwayError:
            return await self._here.list_taken(most)
        return {name: _list_taken(seen.bounds, found[4 * at : 4 * at + 4]) for at, (name, seen) in enumerate(names)}

    def _read(self, reply: list[int], pairs: Sequence[Bounded]) -> Standing:
        """What the script says of a request that wants in.

        Raises:
            OverLimitError, BaseNeededError: see ``SlotQueue``.
        """
        if reply[0] == 2:
            raise BaseNeededError(float(reply[1]), float(reply[2]))
        if reply[0] == 0:
            return _build_standing(pairs[0][1], reply[1:])
        _, at, kind, wait_us, least, left, *gauges = reply
        name, bounds = pairs[at]
        wait_s = None if wait_us < 0 else wait_us / 1e6
        over = OverLimitError(_LIMITS[kind], wait_s, least, left, _build_standing(bounds, gauges))
        over.name = name
        raise over

    async def _enter_here(
        self, name: str, bounds: Bounds, cost: Cost, base: int | None, more: Sequence[Bounded]
    ) -> Admission:
        self._refuse_away()
        admission = await self._here.enter(name, bounds, cost, base, more)
        if bounds.budget_tokens is None or self._is_recorded:
            return admission
        budget = build_place(name), int(find_span(bounds.budget_period, self._wall()).start_s)

        def leave(tokens: int | None) -> None:
            admission.leave(tokens)
            self._owed[budget] += cost.prompt + cost.answer if tokens is None else tokens

        return Admission(admission.standing, leave)

    def _refuse_away(self) -> None:
        if self._connection.place.away == "refuse":
            raise LimitsAwayError("the Redis that counts limits is away", retry_after_s=2)

    def _note_names(self, pairs: Sequence[Bounded]) -> float:
        """Remember who was asked for; seconds that requests of the first last."""
        for name, bounds in pairs:
            seen = self._names.pop(name, None)
            self._names[name] = _Seen(bounds, seen.mean_s if seen else 0.0)
        while len(self._names) > MAX_NAMES:
            self._names.popitem(last=False)
        return self._names[pairs[0][0]].mean_s

    def _leave(
        self, places: tuple[str, ...], request: str, began_s: float, name: str, is_settled: bool, tokens: int | None
    ) -> None:
        if seen := self._names.get(name):
            lasted_s = self._clock() - began_s
            mean_s = seen.mean_s + _NEWEST * (lasted_s - seen.mean_s) if seen.mean_s else lasted_s
            self._names[name] = _Seen(seen.bounds, mean_s)
        self._running.pop(request, None)
        if is_settled:
            self._tell(places, request, tokens)

    def _tell(self, places: tuple[str, ...], request: str, tokens: int | None) -> None:
        """Settle a request with Redis, now or when it is back; told twice it counts once."""
        untold = places, request, tokens
        words = ("leave", request, -1 if tokens is None else tokens)
        self._script.say(places, *words, on_loss=lambda: self._untold.append(untold))

    def _begin(self) -> None:
        """Hand a Redis that is there again the script, and all that it has not been told."""
        self._script.load()
        self._renew(is_due=True)
        self._catch_up()

    def _watch(self) -> None:
        self._renew()
        if not self._script.refusal:
            self._catch_up()

    def _catch_up(self) -> None:
        """Tell Redis what it could not be told."""
        for (place, start_s), owed in self._owed.items():
            self._script.say((place,), "owe", owed, start_s)
        self._owed.clear()
        untold, self._untold = self._untold, deque(maxlen=MAX_UNTOLD)
        for places, request, tokens in untold:
            self._tell(places, request, tokens)

    def _renew(self, *, is_due: bool = False) -> None:
        """Say that the requests under way still are."""
        if not self._running or (not is_due and self._clock() - self._renewed_s < _RENEW_S):
            return
        self._renewed_s = self._clock()
        held = [(place, request) for request, places in self._running.items() for place in places]
        places, requests = zip(*held, strict=True)
        self._script.say(places, "renew", _to_us(LEASE_S), *requests)


def build_place(name: str) -> str:
    """Where in Redis a name is counted; a key by its name alone, since its number is of one gateway's database."""
    owner, _, rest = name.partition(" ")
    return f"{_PREFIX}{owner} {rest.partition(' ')[2] or rest}" if owner == "key" else f"{_PREFIX}{name}"


def _to_us(seconds: float) -> int:
    return round(seconds * 1e6)


def _build_standing(bounds: Bounds, gauges: Sequence[int]) -> Standing:
    limits = (bounds.requests_per_minute, bounds.tokens_per_minute, bounds.budget_tokens)
    requests, tokens, budget = (
        Gauge(limit, gauges[2 * at], gauges[2 * at + 1] / 1e6) if limit is not None else None
        for at, limit in enumerate(limits)
    )
    shown = [gauge for gauge in (tokens, budget) if gauge]
    return Standing(requests, min(shown, key=lambda gauge: gauge.left, default=None))


def _list_taken(bounds: Bounds, used: Sequence[int]) -> list[Taken]:
    limits = (bounds.requests_per_minute, bounds.tokens_per_minute, bounds.parallel_requests, bounds.budget_tokens)
    kinds = (Limit.REQUESTS, Limit.TOKENS, Limit.PARALLEL, Limit.BUDGET)
    pairs = zip(kinds, limits, used, strict=True)
    return [Taken(kind.value, limit, number) for kind, limit, number in pairs if limit is not None]
