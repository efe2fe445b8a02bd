"""Waiting for slots, in one process and over an arbiter's socket: limits of time, departures, what health says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from gateway.queue.line import QueueError, QueueFullError, QueueTimeoutError
from gateway.queue.remote import RemoteSlots
from gateway.queue.slots import DEFAULT_LENGTH, Lease, LineState, SlotQueue

from tests.unit.gateway.queues import OpenQueue, open_local, open_remote, run_arbiter

DEADLINE_S = 30.0


@pytest.fixture(params=[open_local, open_remote], ids=["local", "remote"])
def open_queue(request: pytest.FixtureRequest) -> OpenQueue:
    """How to open a queue of a given length, of either kind."""
    chosen: OpenQueue = request.param
    return chosen


def run(open_queue: OpenQueue, scenario: Callable[[SlotQueue], Awaitable[None]], length: int = DEFAULT_LENGTH) -> None:
    """Run a scenario with a queue; afterwards nothing may be leased and nobody may wait."""

    async def play() -> None:
        async with open_queue(length) as slots:
            await asyncio.wait_for(scenario(slots), DEADLINE_S)
            assert await slots.describe() in ({}, state(0, 0), state(0, 0, slots=4))

    asyncio.run(play())


def ask(slots: SlotQueue, key: str = "ada", weight: int = 1, wait_s: float = 60.0) -> asyncio.Task[Lease]:
    return asyncio.create_task(slots.acquire("engine", 2, weight, key, wait_s))


def state(leased: int, waiting: int, slots: int = 2) -> dict[str, LineState]:
    return {"engine": LineState(slots, leased, waiting)}


async def reach(slots: SlotQueue, leased: int, waiting: int) -> None:
    """Wait until the line is in this state."""
    while await slots.describe() != state(leased, waiting):
        await asyncio.sleep(0)


def test_a_slot_that_is_given_back_goes_to_the_next(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        first, second = await ask(slots), await ask(slots)
        third = ask(slots)
        await reach(slots, leased=2, waiting=1)
        first.release()
        first.release()
        third_lease = await third
        assert await slots.describe() == state(leased=2, waiting=0)
        second.release()
        third_lease.release()

    run(open_queue, scenario)


def test_a_delayed_release_keeps_the_slot_for_that_long(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        lease = await ask(slots, weight=2)
        lease.release(0.05)
        lease.release()
        assert await slots.describe() == state(leased=2, waiting=0)
        (await ask(slots, weight=2)).release()

    run(open_queue, scenario)


@pytest.mark.parametrize("uncounted", [None, 0])
def test_a_server_without_a_number_of_slots_is_not_counted(open_queue: OpenQueue, uncounted: int | None) -> None:
    async def scenario(slots: SlotQueue) -> None:
        leases = [await slots.acquire("openai", uncounted, 1, "ada", 0.0) for _ in range(100)]
        for lease in leases:
            lease.release()
        assert await slots.describe() == {}

    run(open_queue, scenario, length=0)


def test_waiting_ends_in_time_and_frees_the_place_in_line(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        lease = await ask(slots, weight=2)
        with pytest.raises(QueueTimeoutError, match=r"no slot was free within 0\.01 s") as late:
            await ask(slots, wait_s=0.01)
        waiting = ask(slots)
        await reach(slots, leased=2, waiting=1)
        with pytest.raises(QueueFullError, match="1 requests wait already") as full:
            await ask(slots)
        assert (late.value.retry_after_s, full.value.retry_after_s) == (1, 1)
        lease.release()
        (await waiting).release()

    run(open_queue, scenario, length=1)


def test_a_request_that_is_left_in_the_moment_of_its_lease_loses_no_slot(open_queue: OpenQueue) -> None:
    async def scenario(slots: SlotQueue) -> None:
        lease = await ask(slots, weight=2)
        left = ask(slots, weight=2)
        await reach(slots, leased=2, waiting=1)
        next_one = ask(slots, weight=2)
        await reach(slots, leased=2, waiting=2)
        lease.release()  # leases to the first in line, whose task has not run yet
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        (await next_one).release()

    run(open_queue, scenario)


def test_two_thousand_at_once_with_departures_never_pass_the_slots_and_lose_none(open_queue: OpenQueue) -> None:
    chance = random.Random(7)

    async def scenario(slots: SlotQueue) -> None:
        busy = peak = served = 0

        async def serve(key: str, weight: int) -> None:
            nonlocal busy, peak, served
            lease = await slots.acquire("engine", 4, weight, key, 60.0)
            try:
                busy += weight
                peak = max(peak, busy)
                await asyncio.sleep(chance.choice([0, 0, 0.0001]))
                served += 1
            finally:
                busy -= weight
                lease.release()

        tasks = [asyncio.create_task(serve(f"key{i % 7}", chance.choice([1, 1, 1, 2]))) for i in range(2000)]
        await asyncio.sleep(0)
        left = [task for task in tasks if chance.random() < 0.3]
        for task in left:
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait(tasks)
        assert peak == 4
        assert served >= len(tasks) - len(left)

    run(open_queue, scenario)


def test_what_a_worker_held_is_given_back_when_it_dies() -> None:
    async def scenario() -> None:
        with run_arbiter(DEFAULT_LENGTH, 2) as (dying_channel, living_channel):
            dying, living = RemoteSlots(dying_channel, lambda: None), RemoteSlots(living_channel, lambda: None)
            await dying.open()
            await living.open()
            await ask(dying, weight=2)
            waiting_too = [ask(dying, "bob") for _ in range(3)]
            await reach(living, leased=2, waiting=3)
            next_one = ask(living, "cyd", weight=2)
            await reach(living, leased=2, waiting=4)
            dying.close()
            lease = await asyncio.wait_for(next_one, DEADLINE_S)
            await reach(living, leased=2, waiting=0)
            lease.release()
            assert await living.describe() == state(leased=0, waiting=0)
            for task in waiting_too:
                with pytest.raises(QueueError, match="the arbiter of the workers is gone"):
                    await task
            living.close()

    asyncio.run(scenario())


def test_a_worker_hears_once_that_its_arbiter_is_gone() -> None:
    async def scenario() -> None:
        lost = asyncio.Event()
        with run_arbiter(DEFAULT_LENGTH, 1) as (channel,):
            slots = RemoteSlots(channel, lost.set)
            await slots.open()
            lease = await ask(slots, weight=2)
            waiting = ask(slots)
            await reach(slots, leased=2, waiting=1)
        await asyncio.wait_for(lost.wait(), DEADLINE_S)
        for task in (waiting, ask(slots)):
            with pytest.raises(QueueError, match="the arbiter of the workers is gone"):
                await task
        lease.release()

    asyncio.run(scenario())


def test_the_default_length_holds_two_thousand_that_wait() -> None:
    assert DEFAULT_LENGTH >= 2000
