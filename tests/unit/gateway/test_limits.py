"""What a target may be asked: a request too many is refused with the time after which there is room."""

from __future__ import annotations

import asyncio

import pytest
from gateway.catalog.values import Limits, Provider, Route, Target
from gateway.formats.call import Call
from gateway.outcomes import LIMIT_REACHED, TargetError
from gateway.queue.bounds import Admission
from gateway.queue.slots import Slots
from gateway.routing.limits import count_tokens, enter, wait_turn


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def build_target(interval_s: float = 0.0, **limits: int) -> Target:
    provider = Provider("p", "openai", min_interval_s=interval_s)
    return Target("m", provider, "m", "chat", "http://h/v1", limits=Limits(**limits))


def build_shared(name: str, own: Limits | None = None, **limits: int) -> Target:
    """A target of a provider that has these limits for all its targets together."""
    return Target(
        name, Provider("p", "openai", limits=Limits(**limits)), "m", "chat", "http://h/v1", limits=own or Limits()
    )


def test_limits_of_a_provider_are_those_of_all_its_models_together() -> None:
    async def run() -> None:
        clock = Clock()
        slots = Slots(clock=clock)
        one, other = (build_shared(name, requests_per_minute=2) for name in ("one", "other"))
        for target in (one, other):
            (await let_in(target, slots)).leave(None)
        clock.now = 15.0
        for target in (one, other):
            with pytest.raises(TargetError, match="rate_limit_exceeded") as caught:
                await let_in(target, slots)
            assert caught.value.retry_after_s == 45.0
            assert caught.value.text == "The provider of model '{model}' has reached its limit of requests or tokens."
        clock.now = 60.0
        await let_in(one, slots)

    asyncio.run(run())


def test_what_the_provider_has_no_room_for_takes_none_of_its_model_and_the_other_way_round() -> None:
    async def run() -> None:
        slots = Slots(clock=Clock())
        one = build_shared("one", Limits(requests_per_minute=2), parallel_requests=1)
        other = build_shared("other", Limits(requests_per_minute=1), parallel_requests=1)
        running = await let_in(one, slots)
        for _ in range(5):
            await refuse(other, slots)
        running.leave(None)
        (await let_in(other, slots)).leave(None)
        assert await refuse(other, slots) == 60.0
        (await let_in(one, slots)).leave(None)
        assert await refuse(one, slots) == 60.0

    asyncio.run(run())


def test_tokens_of_a_provider_are_settled_with_those_of_its_model() -> None:
    async def run() -> None:
        slots = Slots(clock=Clock())
        target = build_shared("one", Limits(tokens_per_minute=100), tokens_per_minute=25)
        first, _ = await let_in(target, slots), await let_in(target, slots)
        assert await refuse(target, slots) == 60.0
        first.leave(5)
        (await let_in(target, slots)).leave(0)
        taken = await slots.list_taken(5)
        assert [(item.limit, item.used) for found in taken.values() for item in found] == [(25, 15), (100, 15)]

    asyncio.run(run())


def let_in(target: Target, slots: Slots, max_tokens: int = 5) -> asyncio.Task[Admission]:
    call = Call("chat", {"max_tokens": max_tokens}, "m", "r", size_bytes=20)
    return asyncio.ensure_future(enter(target, slots, call, Route("m", (target,))))


async def refuse(target: Target, slots: Slots) -> float | None:
    with pytest.raises(TargetError) as caught:
        await let_in(target, slots)
    assert caught.value.outcome is LIMIT_REACHED
    return caught.value.retry_after_s


def test_requests_a_minute() -> None:
    async def run() -> None:
        clock = Clock()
        slots, target = Slots(clock=clock), build_target(requests_per_minute=2)
        for _ in range(2):
            (await let_in(target, slots)).leave(None)
        clock.now = 15.0
        assert await refuse(target, slots) == 45.0
        clock.now = 60.0
        await let_in(target, slots)

    asyncio.run(run())


def test_tokens_a_minute_are_reserved_and_settled_with_those_of_the_answer() -> None:
    async def run() -> None:
        slots, target = Slots(clock=Clock()), build_target(tokens_per_minute=25)
        first, second = await let_in(target, slots), await let_in(target, slots)
        assert await refuse(target, slots) == 60.0  # two of 10 run, and 5 are left
        first.leave(count_tokens({"prompt_tokens": 4, "completion_tokens": 1}, True))
        second.leave(count_tokens(None, False))  # nobody answered
        for _ in range(2):
            await let_in(target, slots)
        assert await refuse(target, slots) == 60.0

    asyncio.run(run())


def test_requests_at_once_come_back_when_one_ends() -> None:
    async def run() -> None:
        slots, target = Slots(), build_target(parallel_requests=1)
        admission = await let_in(target, slots)
        assert await refuse(target, slots) is not None
        admission.leave(None)
        admission.leave(None)
        await let_in(target, slots)
        assert await refuse(target, slots) is not None

    asyncio.run(run())


def test_a_refusal_by_one_limit_spends_nothing_of_another() -> None:
    async def run() -> None:
        slots, target = Slots(clock=Clock()), build_target(requests_per_minute=2, parallel_requests=1)
        admission = await let_in(target, slots)
        for _ in range(5):
            await refuse(target, slots)
        admission.leave(None)
        await let_in(target, slots)
        assert await refuse(target, slots) == 60.0  # of both that are reached, the one that takes longest

    asyncio.run(run())


def test_without_limits_nobody_is_asked() -> None:
    async def run() -> None:
        target = build_target()
        admission = await enter(target, None, Call("chat", {}, "m", "r"), Route("m", (target,)))  # type: ignore[arg-type]
        admission.leave(None)
        await wait_turn(target, None, 1.0)  # type: ignore[arg-type]

    asyncio.run(run())


def test_turns_of_a_provider_are_an_interval_apart_and_a_late_one_is_not_taken() -> None:
    async def run() -> None:
        clock = Clock()
        slots = Slots(clock=clock)
        turns = [await slots.take_turn("provider p", 0.5, longest_s=1.0) for _ in range(3)]
        assert turns == [0.0, 0.5, 1.0]
        with pytest.raises(TargetError) as caught:
            await wait_turn(build_target(interval_s=0.5), slots, 1.0)
        assert (caught.value.outcome, caught.value.retry_after_s) == (LIMIT_REACHED, 0.5)
        clock.now = 1.5
        assert await slots.take_turn("provider p", 0.5, longest_s=0.0) == 0.0
        assert await slots.take_turn("provider q", 0.5, longest_s=0.0) == 0.0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("usage", "has_begun", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, True, 7),
        ({"prompt_tokens": 3, "completion_tokens": None}, True, 3),
        (None, True, None),
        (None, False, 0),
    ],
)
def test_what_an_answer_took(usage: dict[str, int] | None, has_begun: bool, tokens: int | None) -> None:
    assert count_tokens(usage, has_begun) == tokens
