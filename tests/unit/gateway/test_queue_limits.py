"""Limits over the queue, in one process and over an arbiter's socket: who is let in, and what a death leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from gateway.queue.bounds import BaseNeededError, Bounds, Cost, Limit, OverLimitError
from gateway.queue.line import QueueError
from gateway.queue.remote import RemoteSlots
from gateway.queue.slots import DEFAULT_LENGTH, SlotQueue

from tests.unit.gateway.queues import OpenQueue, open_local, open_remote, run_arbiter

DEADLINE_S = 30.0
TEN = Cost(5, 5, True)


@pytest.fixture(params=[open_local, open_remote], ids=["local", "remote"])
def open_queue(request: pytest.FixtureRequest) -> OpenQueue:
    """How to open a queue of a given length, of either kind."""
    chosen: OpenQueue = request.param
    return chosen


def run(open_queue: OpenQueue, scenario: Callable[[SlotQueue], Awaitable[None]]) -> None:
    async def play() -> None:
        async with open_queue(DEFAULT_LENGTH) as slots:
            await asyncio.wait_for(scenario(slots), DEADLINE_S)

    asyncio.run(play())


async def refuse(slots: SlotQueue, bounds: Bounds, cost: Cost = TEN) -> OverLimitError:
    with pytest.raises(OverLimitError) as caught:
        await slots.enter("ada", bounds, cost)
    return caught.value


def test_what_is_left_and_why_one_is_refused(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        bounds = Bounds(requests_per_minute=2, tokens_per_minute=30)
        for left in (1, 0):
            standing = (await slots.enter("ada", bounds, TEN)).standing
            assert standing.requests is not None
            assert standing.tokens is not None
            assert (standing.requests.limit, standing.requests.left) == (2, left)
            assert (standing.tokens.limit, standing.tokens.left) == (30, 10 + 10 * left)
            assert 59 < standing.requests.reset_s <= 60
        over = await refuse(slots, bounds)
        assert over.limit is Limit.REQUESTS
        assert over.wait_s is not None
        assert 50 < over.wait_s <= 60
        assert over.standing.requests is not None
        assert over.standing.requests.left == 0
        never = await refuse(slots, bounds, Cost(31, 1))
        assert (never.limit, never.wait_s, never.least, never.left) == (Limit.TOKENS, None, 32, 10)

    run(open_queue, scenario)


def test_a_budget_asks_once_for_what_was_used_before(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        bounds = Bounds(budget_tokens=100, budget_period="month")
        with pytest.raises(BaseNeededError) as needed:
            await slots.enter("ada", bounds, TEN)
        assert 28 <= (needed.value.end_s - needed.value.start_s) / 86400 <= 31
        for base in (85, None):
            admission = await slots.enter("ada", bounds, TEN, base)
            assert admission.standing.tokens is not None
            assert admission.standing.tokens.left == 5
            admission.leave(0)
            admission.leave(50)

    run(open_queue, scenario)


def test_a_thousand_at_once_get_exactly_what_is_allowed(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        bounds = Bounds(requests_per_minute=700, tokens_per_minute=6000)
        answers = await asyncio.gather(*(slots.enter("ada", bounds, TEN) for _ in range(1000)), return_exceptions=True)
        assert sum(not isinstance(answer, BaseException) for answer in answers) == 600
        assert sum(isinstance(answer, OverLimitError) for answer in answers) == 400

    run(open_queue, scenario)


def test_turns_are_an_interval_apart(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        waits = [await slots.take_turn("provider", 100.0, 1000.0) for _ in range(3)]
        assert waits == pytest.approx([0.0, 100.0, 200.0], abs=DEADLINE_S)
        assert await slots.take_turn("provider", 100.0, 10.0) > 10.0

    run(open_queue, scenario)


def test_a_request_that_is_left_while_it_is_let_in_ends() -> None:
    async def scenario() -> None:
        with run_arbiter(DEFAULT_LENGTH, 1) as (channel,):
            slots = RemoteSlots(channel, lambda: None)
            await slots.open()
            left = asyncio.create_task(slots.enter("ada", Bounds(parallel_requests=1), Cost()))
            await asyncio.sleep(0)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            await asyncio.wait_for(slots.enter("ada", Bounds(parallel_requests=1), Cost()), DEADLINE_S)
            slots.close()

    asyncio.run(scenario())


def test_of_a_dead_worker_nobody_runs_and_its_tokens_stay_counted() -> None:
    async def scenario() -> None:
        bounds = Bounds(tokens_per_minute=40, parallel_requests=2)
        with run_arbiter(DEFAULT_LENGTH, 2) as (dying_channel, living_channel):
            dying, living = RemoteSlots(dying_channel, lambda: None), RemoteSlots(living_channel, lambda: None)
            await dying.open()
            await living.open()
            for _ in range(2):
                await dying.enter("ada", bounds, TEN)
            assert (await refuse(living, bounds)).limit is Limit.PARALLEL
            dying.close()
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    try:
                        admission = await living.enter("ada", bounds, TEN)
                        break
                    except OverLimitError:
                        await asyncio.sleep(0)
            assert admission.standing.tokens is not None
            assert admission.standing.tokens.left == 10
            living.close()

    asyncio.run(scenario())


def test_without_its_arbiter_nobody_is_let_in() -> None:
    async def scenario() -> None:
        lost = asyncio.Event()
        with run_arbiter(DEFAULT_LENGTH, 1) as (channel,):
            slots = RemoteSlots(channel, lost.set)
            await slots.open()
            admission = await slots.enter("ada", Bounds(requests_per_minute=1), Cost())
        await asyncio.wait_for(lost.wait(), DEADLINE_S)
        with pytest.raises(QueueError, match="the arbiter of the workers is gone"):
            await slots.enter("ada", Bounds(requests_per_minute=1), Cost())
        admission.leave(None)

    asyncio.run(scenario())


def test_how_limits_stand_is_told_without_a_request(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        assert await slots.list_taken(5) == {}
        admission = await slots.enter("key 1", Bounds(9, 100, None, 1000), TEN, 300)
        assert await slots.list_taken(5) == {"key 1": [("requests", 9, 1), ("tokens", 100, 10), ("budget", 1000, 310)]}
        admission.leave(4)
        await slots.enter("target mine", Bounds(parallel_requests=2), TEN)
        found = await slots.list_taken(1)
        assert found == {"target mine": [("parallel", 2, 1)]}

    run(open_queue, scenario)
