"""The script that counts limits in Redis: for any requests it says what an arbiter says of the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gateway.queue.account import Account
from gateway.queue.bounds import Admission, BaseNeededError, Bounds, Cost, OverLimitError, Standing
from gateway.queue.ledger import Ledger
from gateway.queue.slots import Slots
from gateway.redis_place import RedisPlace
from gateway.shared.connection import AwayError
from gateway.shared.limits import SharedLimits
from gateway.shared.script import SCRIPT, Script
from hypothesis import given
from hypothesis import strategies as st

from tests.redis_server import RedisServer, run_redis

START_S = int(datetime(2028, 2, 28, 23, 58, tzinfo=UTC).timestamp())


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with run_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Clock:
    """Time that a test turns, in half seconds."""

    def __init__(self) -> None:
        self.now_s = float(START_S)

    def __call__(self) -> float:
        return self.now_s


class Timed(SharedLimits):
    """Limits in a Redis whose script takes the time from a list that the test writes."""

    def __init__(self, server: RedisServer, clock: Clock, is_recorded: bool = False) -> None:
        place = RedisPlace("127.0.0.1", server.port, password=server.password)
        here = Slots(clock=clock, wall=clock)
        super().__init__(here, place, is_recorded=is_recorded, clock=lambda: 0.0, wall=clock)
        text = SCRIPT.read_bytes().replace(b"redis.call('TIME')", b"redis.call('LRANGE', 'clock', 0, 1)")
        self._script = Script(self._connection, text)

    async def turn(self, now_s: float) -> None:
        ask = self._connection.ask
        await ask("DEL", "clock")
        await ask("RPUSH", "clock", int(now_s), round(now_s % 1 * 1e6))


@asynccontextmanager
async def open_timed(server: RedisServer, clock: Clock, is_recorded: bool = False) -> AsyncIterator[Timed]:
    limits = Timed(server, clock, is_recorded)
    await limits.open()
    await limits._connection.ask("FLUSHALL")
    await limits.turn(clock.now_s)
    try:
        yield limits
    finally:
        await limits.close()


def describe(found: Standing | BaseException) -> Any:
    """What a caller sees of an outcome."""
    if isinstance(found, OverLimitError):
        return "over", found.name, found.limit, found.wait_s, found.least, found.left, found.standing
    return ("base", found.start_s, found.end_s) if isinstance(found, BaseNeededError) else found


LIMIT = st.one_of(st.none(), st.integers(1, 4))
TOKENS = st.one_of(st.none(), st.integers(1, 60))
BOUNDS = st.builds(Bounds, LIMIT, TOKENS, LIMIT, TOKENS, st.sampled_from(["day", "month"]))
COST = st.builds(Cost, st.integers(0, 30), st.integers(0, 30), st.booleans())
ENTER = st.tuples(st.just("enter"), st.sampled_from([False, False, True]), COST, st.sampled_from([None, 0, 7]))
STEP = st.one_of(
    ENTER,
    ENTER,
    st.tuples(st.just("leave"), st.integers(0, 20), st.one_of(st.none(), st.integers(0, 60)), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 7.0, 29.5, 60.0, 3600.0]), st.none(), st.none()),
)


@pytest.fixture(scope="module")
def _quick_requests() -> Iterator[None]:
    """Requests seem to last no time to both, since how long one waits for another's end is a guess of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Account, "_estimate_s", lambda self: 1.0)
        yield


@pytest.mark.usefixtures("_quick_requests")
@given(bounds=BOUNDS, other=BOUNDS, steps=st.lists(STEP, min_size=15, max_size=40))
def test_it_says_what_an_arbiter_says(redis: RedisServer, bounds: Bounds, other: Bounds, steps: list[Any]) -> None:
    # A lease is only told of again by a clock that runs; here nobody dies, so it is longer than any step.
    asyncio.run(compare(redis, bounds, other._replace(budget_tokens=None), steps))


async def compare(redis: RedisServer, bounds: Bounds, other: Bounds, steps: list[Any]) -> None:
    clock = Clock()
    ledger = Ledger(clock, clock)
    async with open_timed(redis, clock) as shared:
        entries: list[Any] = []
        admissions: list[Admission] = []
        for word, first, second, third in steps:
            if word == "wait":
                clock.now_s += first
                await shared.turn(clock.now_s)
                await keep_leases(shared)
            elif word == "leave" and entries:
                at = first % len(entries)
                ledger.leave(entries.pop(at), second)
                admissions.pop(at).leave(second)
            elif word == "enter":
                more = (("target t", other),) if first else ()
                expected = attempt(ledger, bounds, second, third, more, entries)
                found = await attempt_shared(shared, bounds, second, third, more, admissions)
                assert describe(found) == describe(expected)


def attempt(ledger: Ledger, bounds: Bounds, cost: Cost, base: int | None, more: Any, entries: list[Any]) -> Any:
    try:
        entry = ledger.enter("key 1 ada", bounds, cost, base, more)
    except (OverLimitError, BaseNeededError) as error:
        name_first(error)
        return error
    entries.append(entry)
    return entry.standing


async def attempt_shared(
    shared: SharedLimits, bounds: Bounds, cost: Cost, base: int | None, more: Any, admissions: list[Admission]
) -> Any:
    try:
        admission = await shared.enter("key 1 ada", bounds, cost, base, more)
    except (OverLimitError, BaseNeededError) as error:
        name_first(error)
        return error
    admissions.append(admission)
    return admission.standing


def name_first(error: Exception) -> None:
    """Where a request has one name alone, the arbiter leaves it unsaid."""
    if isinstance(error, OverLimitError):
        error.name = error.name or "key 1 ada"


async def keep_leases(shared: SharedLimits) -> None:
    shared._renew(is_due=True)
    await shared._connection.ask("PING")


@pytest.mark.parametrize(
    ("is_recorded", "later_s", "base", "left"),
    [
        pytest.param(False, 1, 0, 60, id="told when it is back"),
        pytest.param(False, 3600, 0, 100, id="of yesterday's budget"),
        pytest.param(True, 1, 40, 60, id="known from the records of all"),
    ],
)
def test_what_one_gateway_used_of_a_budget_while_it_was_cut_off_counts_once(
    redis: RedisServer, is_recorded: bool, later_s: float, base: int, left: int
) -> None:
    async def run() -> None:
        clock, bounds, name = Clock(), Bounds(budget_tokens=100), "key 1 ada"
        async with open_timed(redis, clock, is_recorded) as one:
            other = Timed(redis, clock, is_recorded)
            await other.open()
            (await other.enter(name, bounds, Cost(), 0)).leave(0)
            await one.close()
            (await one.enter(name, bounds, Cost(40), 0)).leave(40)
            clock.now_s += later_s
            await other.turn(clock.now_s)
            (await other.enter(name, bounds, Cost(), base)).leave(0)
            await one.open()
            async with asyncio.timeout(30):
                while not await is_told(one):
                    await asyncio.sleep(0.01)
            standing = (await other.enter(name, bounds, Cost(), base)).standing
            assert standing.tokens is not None
            assert standing.tokens.left == left
            await other.close()

    asyncio.run(run())


async def is_told(shared: SharedLimits) -> bool:
    """Whether Redis has answered what was asked when it was there again."""
    try:
        return bool(await shared._connection.ask("PING") == b"PONG")
    except AwayError:
        return False


@pytest.mark.parametrize("year", [2026, 2027, 2028, 2100])
def test_months_are_those_of_the_calendar(redis: RedisServer, year: int) -> None:
    async def run() -> None:
        clock, found = Clock(), []
        async with open_timed(redis, clock) as shared:
            for month in range(1, 13):
                clock.now_s = datetime(year, month, 17, 5, tzinfo=UTC).timestamp()
                await shared.turn(clock.now_s)
                with pytest.raises(BaseNeededError) as caught:
                    await shared.enter("key 1 ada", Bounds(None, None, None, 5, "month"), Cost(1))
                found.append((caught.value.start_s, caught.value.end_s))
        starts = [datetime(year, month, 1, tzinfo=UTC).timestamp() for month in range(1, 13)]
        assert found == list(zip(starts, [*starts[1:], datetime(year + 1, 1, 1, tzinfo=UTC).timestamp()], strict=True))

    asyncio.run(run())


def test_places_of_a_gateway_that_is_never_heard_of_again_come_back(redis: RedisServer) -> None:
    async def run() -> None:
        clock, bounds = Clock(), Bounds(parallel_requests=1, budget_tokens=10)
        async with open_timed(redis, clock) as shared:
            await shared.enter("key 1 ada", bounds, Cost(4), 0)
            for later_s, is_full in ((29.5, True), (0.5, False)):
                clock.now_s += later_s
                await shared.turn(clock.now_s)
                if is_full:
                    with pytest.raises(OverLimitError):
                        await shared.enter("key 1 ada", bounds, Cost(4), 0)
                else:
                    # What it was expected to take stays counted: nobody knows what became of it.
                    assert (await shared.enter("key 1 ada", bounds, Cost(4), 0)).standing.tokens.left == 2  # type: ignore[union-attr]

    asyncio.run(run())


def test_a_lease_is_renewed_where_requests_at_once_are_limited_and_never_stays_for_ever(redis: RedisServer) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_timed(redis, clock) as shared:
            place = ("provider p", Bounds(parallel_requests=2))
            await shared.enter("target t", Bounds(requests_per_minute=9), Cost(), more=(place,))
            redis.ask("del", "gateway:limits:provider p:p")  # a Redis that has lost what it knew
            await keep_leases(shared)
            assert redis.ask("exists", "gateway:limits:target t:p") == "0"
            assert int(redis.ask("pttl", "gateway:limits:provider p:p")) > 0

    asyncio.run(run())


def test_turns_of_a_provider_are_an_interval_apart(redis: RedisServer) -> None:
    async def run() -> None:
        clock = Clock()
        async with open_timed(redis, clock) as shared:
            turns = [await shared.take_turn("provider p", 0.5, 1.0) for _ in range(4)]
            assert turns == [0.0, 0.5, 1.0, 1.5]
            assert await shared.take_turn("provider p", 0.5, 2.0) == 1.5, "the one before was too late to be taken"
            assert await shared.take_turn("provider q", 0.5, 0.0) == 0.0

    asyncio.run(run())


def test_what_is_taken_is_told_of_every_name(redis: RedisServer) -> None:
    async def run() -> None:
        async with open_timed(redis, Clock()) as shared:
            assert await shared.list_taken(5) == {}
            await shared.enter("key 1 ada", Bounds(9, 100, None, 1000), Cost(4, 6), 300)
            admission = await shared.enter("target mine", Bounds(parallel_requests=2), Cost())
            assert await shared.list_taken(5) == {
                "target mine": [("parallel", 2, 1)],
                "key 1 ada": [("requests", 9, 1), ("tokens", 100, 10), ("budget", 1000, 310)],
            }
            admission.leave(None)
            assert await shared.list_taken(1) == {"target mine": [("parallel", 2, 0)]}

    asyncio.run(run())


def test_a_key_is_known_by_its_name_whatever_its_number_is(redis: RedisServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with open_timed(redis, Clock()) as shared:
            await shared.enter("key 1 ada", Bounds(1), Cost())
            await shared.enter("key 1 bob", Bounds(1), Cost())
            with pytest.raises(OverLimitError):
                await shared.enter("key 7 ada", Bounds(1), Cost())

    asyncio.run(run())
