"""Limits a minute: a window that slides, and a wait that is neither too short nor too long."""

from __future__ import annotations

from gateway.queue.meter import WINDOW_S, Meter
from hypothesis import given
from hypothesis import strategies as st


def test_what_fits_is_spent_and_the_next_waits_for_the_oldest() -> None:
    meter = Meter()
    assert [meter.spend(2, 1, now) for now in (0.0, 10.0)] == [0.0, 0.0]
    assert meter.spend(2, 1, 20.0) == 40.0
    assert meter.spend(2, 1, 60.0) == 0.0
    assert meter.spend(2, 1, 61.0) == 9.0


def test_tokens_are_counted_afterwards_and_close_the_door_for_the_next() -> None:
    meter = Meter()
    assert meter.spend(100, 0, 0.0) == 0.0
    meter.add(150, 5.0)
    assert meter.spend(100, 0, 6.0) == 59.0
    assert meter.spend(100, 0, 65.0) == 0.0


@given(st.lists(st.integers(0, 300), min_size=1, max_size=80), st.integers(1, 5))
def test_no_minute_has_more_than_the_limit_and_a_wait_is_enough(times: list[int], limit: int) -> None:
    meter = Meter()
    granted: list[int] = []
    for now in sorted(times):
        wait_s = meter.spend(limit, 1, now)
        if wait_s == 0:
            granted.append(now)
        else:
            assert wait_s <= WINDOW_S
            assert len([when for when in granted if when > now + wait_s - WINDOW_S]) < limit
    for now in granted:
        assert len([when for when in granted if now - WINDOW_S < when <= now]) <= limit
