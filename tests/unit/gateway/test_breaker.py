"""A target that keeps failing is left out for a while, and one request at a time sees whether it is back."""

from __future__ import annotations

from gateway.routing.breaker import Breaker


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.fail("t", "upstream_error")


def test_a_few_failures_leave_nobody_out() -> None:
    breaker = Breaker(Clock())
    fail(breaker, 4)
    assert breaker.allows("t")
    assert breaker.describe("t")["state"] == "failing"
    breaker.succeed("t")
    fail(breaker, 4)
    assert breaker.allows("t")


def test_after_the_break_one_request_sees_whether_it_is_back() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    fail(breaker, 5)
    assert not breaker.allows("t")
    assert breaker.describe("t") == {
        "state": "left out", "last_error": "upstream_error", "last_error_at": 1000, "last_success_at": None,
    }  # fmt: skip
    assert breaker.allows("another")
    clock.now += 5
    assert [breaker.allows("t"), breaker.allows("t")] == [True, False]
    breaker.succeed("t")
    assert breaker.allows("t")
    assert breaker.describe("t")["state"] == "ok"


def test_a_break_gets_longer_up_to_a_minute_and_an_abandoned_look_is_repeated() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    fail(breaker, 5)
    clock.now += 5
    assert breaker.allows("t")
    breaker.abandon("t")
    assert breaker.allows("t")
    fail(breaker, 1)
    clock.now += 9
    assert not breaker.allows("t")
    fail(breaker, 9)
    clock.now += 60
    assert breaker.allows("t")
