"""Limits a minute: a window that slides, and a wait that is neither too short nor too long."""

from __future__ import annotations

import copy

from gateway.queue.meter import WINDOW_S, Meter, Spent
from hypothesis import given
from hypothesis import strategies as st


def spend(meter: Meter, limit: int, amount: int, now_s: float) -> float | None:
    """Spend what fits; the wait where it does not."""
    wait_s = meter.find_wait_s(limit, amount, now_s)
    if wait_s == 0:
        meter.spend(amount, now_s)
    return wait_s


def test_what_fits_is_spent_and_the_next_waits_for_the_oldest() -> None:
    meter = Meter()
    assert [spend(meter, 2, 1, now) for now in (0.0, 10.0)] == [0.0, 0.0]
    assert spend(meter, 2, 1, 20.0) == 40.0
    assert spend(meter, 2, 1, 60.0) == 0.0
    assert spend(meter, 2, 1, 61.0) == 9.0


def test_a_large_amount_waits_until_enough_has_left_the_window() -> None:
    meter = Meter()
    for now, amount in ((0.0, 40), (10.0, 40), (20.0, 20)):
        assert spend(meter, 100, amount, now) == 0.0
    assert spend(meter, 100, 41, 30.0) == 40.0
    assert spend(meter, 100, 101, 30.0) is None


def test_what_was_expected_too_much_is_free_at_once() -> None:
    meter = Meter()
    spent = meter.spend(90, 0.0)
    assert spend(meter, 100, 50, 1.0) == 59.0
    meter.settle(spent, 30, 2.0)
    assert spend(meter, 100, 70, 3.0) == 0.0
    assert meter.count(59.0) == 100
    assert meter.count(60.0) == 70


def test_what_was_expected_too_little_counts_from_the_end_of_the_answer() -> None:
    meter = Meter()
    spent = meter.spend(10, 0.0)
    meter.settle(spent, 150, 70.0)
    assert meter.count(70.0) == 140
    assert spend(meter, 100, 1, 71.0) == 59.0
    assert spend(meter, 100, 1, 130.0) == 0.0


def test_a_late_settlement_gives_nothing_back_twice() -> None:
    meter = Meter()
    spent = meter.spend(90, 0.0)
    meter.settle(spent, 10, 61.0)
    assert meter.count(61.0) == 0
    meter.spend(5, 61.0)
    assert (meter.count(62.0), meter.find_reset_s(62.0)) == (5, 59.0)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=80), st.integers(1, 5))
def test_no_minute_has_more_than_the_limit_and_a_wait_is_enough(times: list[int], limit: int) -> None:
    meter = Meter()
    granted: list[int] = []
    for now in sorted(times):
        wait_s = spend(meter, limit, 1, now)
        assert wait_s is not None
        if wait_s == 0:
            granted.append(now)
        else:
            assert wait_s <= WINDOW_S
            assert len([when for when in granted if when > now + wait_s - WINDOW_S]) < limit
            # And not a second longer than needed.
            assert len([when for when in granted if when > now + wait_s - 1 - WINDOW_S]) >= limit
    for now in granted:
        assert len([when for when in granted if now - WINDOW_S < when <= now]) <= limit


STEPS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 50), st.integers(0, 50), st.booleans()), max_size=80)


@given(STEPS, st.integers(50, 100))
def test_no_minute_has_more_tokens_than_the_limit_however_requests_end(
    steps: list[tuple[int, int, int, bool]], limit: int
) -> None:
    meter = Meter()
    running: list[tuple[Spent, int]] = []
    taken: list[tuple[int, Spent]] = []
    now = 0
    for pause, amount, real, ends in steps:
        now += pause
        if spend_wait := meter.find_wait_s(limit, amount, now):
            assert copy.deepcopy(meter).find_wait_s(limit, amount, now + spend_wait) == 0
        else:
            spent = meter.spend(amount, now)
            running.append((spent, min(real, amount)))
            taken.append((now, spent))
        if ends and running:
            spent, real = running.pop(0)
            meter.settle(spent, real, now)
        counted = sum(spent.amount for when, spent in taken if when > now - WINDOW_S)
        assert meter.count(now) == counted <= limit
