"""Waiting for slots with asyncio: limits of time, cancellation, what health says."""

from __future__ import annotations

import asyncio
import random

import pytest
from gateway.queue.line import QueueFullError, QueueTimeoutError
from gateway.queue.slots import DEFAULT_LENGTH, Lease, LineState, Slots


async def _start(*acquisitions: asyncio.Task[Lease]) -> None:
    """Let tasks run until all of them wait."""
    for _ in range(3):
        await asyncio.sleep(0)


def _ask(slots: Slots, key: str = "ada", weight: int = 1, wait_s: float = 60.0) -> asyncio.Task[Lease]:
    return asyncio.create_task(slots.acquire("engine", 2, weight, key, wait_s))


def test_a_slot_that_is_given_back_goes_to_the_next() -> None:
    async def scenario() -> None:
        slots = Slots()
        first, second = await _ask(slots), await _ask(slots)
        third = _ask(slots)
        await _start(third)
        assert await slots.describe() == {"engine": LineState(slots=2, leased=2, waiting=1)}
        first.release()
        first.release()
        await third
        assert await slots.describe() == {"engine": LineState(slots=2, leased=2, waiting=0)}
        second.release()
        third.result().release()
        assert await slots.describe() == {"engine": LineState(slots=2, leased=0, waiting=0)}

    asyncio.run(scenario())


def test_a_delayed_release_keeps_the_slot_for_that_long() -> None:
    async def scenario() -> None:
        slots = Slots()
        lease = await _ask(slots, weight=2)
        lease.release(0.02)
        lease.release()
        assert (await slots.describe())["engine"].leased == 2
        (await _ask(slots, weight=2, wait_s=30)).release()
        assert (await slots.describe())["engine"].leased == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("uncounted", [None, 0])
def test_a_server_without_a_number_of_slots_is_not_counted(uncounted: int | None) -> None:
    async def scenario() -> None:
        slots = Slots(length=0)
        leases = [await slots.acquire("openai", uncounted, 1, "ada", 0.0) for _ in range(100)]
        for lease in leases:
            lease.release()
        assert await slots.describe() == {}

    asyncio.run(scenario())


def test_waiting_ends_in_time_and_frees_the_place_in_line() -> None:
    async def scenario() -> None:
        slots = Slots(length=1)
        lease = await _ask(slots, weight=2)
        with pytest.raises(QueueTimeoutError, match=r"no slot was free within 0\.01 s"):
            await _ask(slots, wait_s=0.01)
        waiting = _ask(slots)
        await _start(waiting)
        with pytest.raises(QueueFullError):
            await _ask(slots)
        lease.release()
        (await waiting).release()
        assert (await slots.describe())["engine"] == LineState(slots=2, leased=0, waiting=0)

    asyncio.run(scenario())


def test_a_request_that_is_left_in_the_moment_of_its_lease_loses_no_slot() -> None:
    async def scenario() -> None:
        slots = Slots()
        lease = await _ask(slots, weight=2)
        left, next_one = _ask(slots, weight=2), _ask(slots, weight=2)
        await _start(left, next_one)
        lease.release()  # leases to the first in line, whose task has not run yet
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        (await asyncio.wait_for(next_one, 30)).release()
        assert (await slots.describe())["engine"].leased == 0

    asyncio.run(scenario())


def test_two_thousand_at_once_with_departures_never_pass_the_slots_and_lose_none() -> None:
    chance = random.Random(7)

    async def scenario() -> None:
        slots = Slots()
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
        assert await slots.describe() == {"engine": LineState(slots=4, leased=0, waiting=0)}

    asyncio.run(scenario())
    assert DEFAULT_LENGTH >= 2000
