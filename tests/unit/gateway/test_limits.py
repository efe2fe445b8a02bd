"""What a target may be asked: a request too many is refused with the time after which there is room."""

from __future__ import annotations

import asyncio

import pytest
from gateway.catalog.values import Limits, Provider, Target
from gateway.outcomes import LIMIT_REACHED, TargetError
from gateway.queue.slots import Slots
from gateway.routing.limits import enter, settle


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def build_target(**limits: int) -> Target:
    return Target("m", Provider("p", "openai"), "m", "chat", "http://h/v1", limits=Limits(**limits))


async def refuse(target: Target, slots: Slots) -> float | None:
    with pytest.raises(TargetError) as caught:
        await enter(target, slots)
    assert caught.value.outcome is LIMIT_REACHED
    return caught.value.retry_after_s


def test_requests_a_minute() -> None:
    async def run() -> None:
        clock = Clock()
        slots, target = Slots(clock=clock), build_target(requests_per_minute=2)
        for _ in range(2):
            (await enter(target, slots)).release()
        clock.now = 15.0
        assert await refuse(target, slots) == 45.0
        clock.now = 60.0
        await enter(target, slots)

    asyncio.run(run())


def test_tokens_a_minute_are_counted_from_the_answers() -> None:
    async def run() -> None:
        slots, target = Slots(clock=Clock()), build_target(tokens_per_minute=20)
        for usage in (None, {"prompt_tokens": 9, "completion_tokens": 3}, {"prompt_tokens": 8}):
            (await enter(target, slots)).release()
            settle(target, slots, usage)
        assert await refuse(target, slots) == 60.0

    asyncio.run(run())


def test_requests_at_once_come_back_when_one_ends() -> None:
    async def run() -> None:
        slots, target = Slots(), build_target(parallel_requests=1)
        lease = await enter(target, slots)
        assert await refuse(target, slots) is not None
        lease.release()
        await enter(target, slots)

    asyncio.run(run())


def test_a_refusal_by_one_limit_spends_nothing_of_another() -> None:
    async def run() -> None:
        slots, target = Slots(clock=Clock()), build_target(requests_per_minute=1, parallel_requests=1)
        lease = await enter(target, slots)
        await refuse(target, slots)
        lease.release()
        assert await refuse(target, slots) == 60.0  # the minute's limit now, and the place is free again
        assert (await slots.describe())["limit of m"].leased == 0

    asyncio.run(run())
