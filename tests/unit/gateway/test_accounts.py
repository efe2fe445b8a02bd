"""Limits of keys: minutes, requests at once and budgets of UTC's days and months, with clocks of the test's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from gateway.queue.account import Entry
from gateway.queue.bounds import BaseNeededError, Bounds, Cost, Gauge, Limit, OverLimitError, Taken
from gateway.queue.ledger import Ledger
from gateway.queue.tally import find_span
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
# Five tokens of prompt and at most five of answer.
TEN = Cost(5, 5, True)


@dataclass
class Clocks:
    """Both clocks of a ledger; ``pass_time`` moves them together."""

    now: float = 1000.0
    wall: float = NOON

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def ledger(clocks: Clocks) -> Ledger:
    return Ledger(lambda: clocks.now, lambda: clocks.wall)


def enter(ledger: Ledger, bounds: Bounds, cost: Cost = TEN, name: str = "ada") -> Entry:
    return ledger.enter(name, bounds, cost, 0)


def refuse(ledger: Ledger, bounds: Bounds, cost: Cost = TEN) -> OverLimitError:
    with pytest.raises(OverLimitError) as caught:
        enter(ledger, bounds, cost)
    return caught.value


def test_what_is_left_is_told_with_each_request(ledger: Ledger, clocks: Clocks) -> None:
    bounds = Bounds(requests_per_minute=3, tokens_per_minute=100)
    first = enter(ledger, bounds)
    assert first.standing == (Gauge(3, 2, 60.0), Gauge(100, 90, 60.0))
    ledger.leave(first, 4)
    clocks.pass_time(20)
    assert enter(ledger, bounds).standing == (Gauge(3, 1, 60.0), Gauge(100, 86, 60.0))
    clocks.pass_time(40)
    assert enter(ledger, bounds).standing == (Gauge(3, 1, 60.0), Gauge(100, 80, 60.0))


def test_names_have_limits_of_their_own(ledger: Ledger) -> None:
    for name in ("ada", "bob"):
        enter(ledger, Bounds(requests_per_minute=1), name=name)
    assert refuse(ledger, Bounds(requests_per_minute=1)).limit is Limit.REQUESTS


def test_of_the_limits_that_are_reached_the_one_that_takes_longest_is_named(ledger: Ledger, clocks: Clocks) -> None:
    bounds = Bounds(requests_per_minute=1, parallel_requests=1, budget_tokens=10)
    entry = enter(ledger, bounds)
    clocks.pass_time(10)
    over = refuse(ledger, bounds)
    assert (over.limit, over.wait_s) == (Limit.REQUESTS, 50.0)  # the budget is only held, and may come back
    ledger.leave(entry, 10)
    over = refuse(ledger, bounds)
    assert (over.limit, over.wait_s, over.left, over.least) == (Limit.BUDGET, 12 * HOUR_S - 10, 0, 10)
    assert over.standing == (Gauge(1, 0, 50.0), Gauge(10, 0, 12 * HOUR_S - 10))


def test_requests_at_once_wait_about_as_long_as_requests_last(ledger: Ledger, clocks: Clocks) -> None:
    bounds = Bounds(parallel_requests=2)
    first = enter(ledger, bounds)
    clocks.pass_time(8)
    ledger.leave(first, None)
    for _ in range(2):
        enter(ledger, bounds)
    over = refuse(ledger, bounds)
    assert (over.limit, over.wait_s) == (Limit.PARALLEL, 4.0)


def test_a_request_that_can_never_fit_is_told_so(ledger: Ledger) -> None:
    over = refuse(ledger, Bounds(tokens_per_minute=100), Cost(100, 1))
    assert (over.limit, over.wait_s, over.least) == (Limit.TOKENS, None, 101)
    over = refuse(ledger, Bounds(budget_tokens=100), Cost(200, 1))
    assert (over.limit, over.wait_s) == (Limit.BUDGET, None)


def test_an_answer_that_may_be_longer_than_the_limit_takes_what_is_left(ledger: Ledger) -> None:
    bounds = Bounds(tokens_per_minute=100)
    for settled in (30, 40):
        entry = enter(ledger, bounds, Cost(10, 32_000, True))
        assert entry.standing.tokens == Gauge(100, 0, 60.0)
        ledger.leave(entry, settled)
    # The answer's length is not known here, either, and takes what is left.
    assert enter(ledger, bounds, Cost(10, 512)).standing.tokens == Gauge(100, 0, 60.0)
    assert refuse(ledger, bounds, Cost(10, 512)).limit is Limit.TOKENS


def test_counting_tokens_takes_none(ledger: Ledger) -> None:
    bounds = Bounds(tokens_per_minute=10, budget_tokens=10)
    ledger.leave(enter(ledger, bounds), 20)
    assert enter(ledger, bounds, Cost()).standing.tokens is not None


@pytest.mark.parametrize(
    ("period", "moment", "start", "end"),
    [
        ("day", "2026-02-28T23:59:59", "2026-02-28", "2026-03-01"),
        ("day", "2026-12-31T00:00:00", "2026-12-31", "2027-01-01"),
        ("month", "2028-02-29T23:59:59", "2028-02-01", "2028-03-01"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2026-01-01T00:00:00", "2026-01-01", "2026-02-01"),
    ],
)
def test_periods_are_those_of_the_calendar_of_utc(period: str, moment: str, start: str, end: str) -> None:
    span = find_span(period, datetime.fromisoformat(f"{moment}+00:00").timestamp())  # type: ignore[arg-type]
    assert [datetime.fromtimestamp(edge, UTC).isoformat() for edge in span] == [
        f"{start}T00:00:00+00:00",
        f"{end}T00:00:00+00:00",
    ]


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_budget_begins_anew_with_the_next_day_or_month(ledger: Ledger, clocks: Clocks, period: str) -> None:
    bounds = Bounds(budget_tokens=25, budget_period=period)  # type: ignore[arg-type]
    for _ in range(2):
        ledger.leave(enter(ledger, bounds), 10)
    over = refuse(ledger, bounds)
    assert (over.limit, over.wait_s, over.left) == (Limit.BUDGET, 12 * HOUR_S, 5)  # the month ends tonight, too
    assert over.wait_s
    clocks.pass_time(over.wait_s - 1)
    assert refuse(ledger, bounds).wait_s == 1.0
    clocks.pass_time(1)
    assert enter(ledger, bounds).standing.tokens == Gauge(25, 15, DAY_S if period == "day" else 31 * DAY_S)


def test_a_request_over_midnight_counts_for_the_day_in_which_it_began(ledger: Ledger, clocks: Clocks) -> None:
    bounds = Bounds(budget_tokens=100)
    entry = enter(ledger, bounds)
    clocks.pass_time(13 * HOUR_S)
    assert enter(ledger, bounds).standing.tokens == Gauge(100, 90, 23 * HOUR_S)
    ledger.leave(entry, 80)
    assert enter(ledger, bounds).standing.tokens == Gauge(100, 80, 23 * HOUR_S)


def test_a_clock_that_is_set_back_gives_no_budget_twice_and_takes_none(ledger: Ledger, clocks: Clocks) -> None:
    bounds = Bounds(budget_tokens=10)
    ledger.leave(enter(ledger, bounds), 10)
    clocks.pass_time(12 * HOUR_S)
    ledger.leave(enter(ledger, bounds), 10)
    clocks.wall -= 60  # before midnight again, where all is used
    assert refuse(ledger, bounds).wait_s == 60.0
    clocks.wall += 60
    assert refuse(ledger, bounds).wait_s == DAY_S
    clocks.wall += 1000 * DAY_S  # a wrong year, and back
    enter(ledger, bounds)
    clocks.wall -= 1000 * DAY_S
    assert refuse(ledger, bounds).wait_s == DAY_S


def test_a_minute_does_not_care_for_the_date(ledger: Ledger, clocks: Clocks) -> None:
    bounds = Bounds(requests_per_minute=1)
    enter(ledger, bounds)
    for step in (-DAY_S, 2 * DAY_S):
        clocks.wall += step
        assert refuse(ledger, bounds).wait_s == 60.0


def test_a_budget_counts_what_was_used_before(ledger: Ledger) -> None:
    bounds = Bounds(budget_tokens=100)
    with pytest.raises(BaseNeededError) as needed:
        ledger.enter("ada", bounds, TEN, None)
    assert (needed.value.start_s, needed.value.end_s) == (NOON - 12 * HOUR_S, NOON + 12 * HOUR_S)
    assert ledger.enter("ada", bounds, TEN, 85).standing.tokens == Gauge(100, 5, 12 * HOUR_S)
    # Who asked at the same time is late with its base.
    with pytest.raises(OverLimitError):
        ledger.enter("ada", bounds, TEN, 0)


def test_a_changed_budget_counts_from_the_next_request(ledger: Ledger) -> None:
    entry = enter(ledger, Bounds(budget_tokens=100))
    ledger.leave(entry, 60)
    running = enter(ledger, Bounds(budget_tokens=100))
    assert refuse(ledger, Bounds(budget_tokens=50)).limit is Limit.BUDGET
    assert enter(ledger, Bounds(budget_tokens=200)).standing.tokens == Gauge(200, 120, 12 * HOUR_S)
    ledger.leave(running, 10)
    # Another period is another budget, of which this process has counted nothing.
    with pytest.raises(BaseNeededError):
        ledger.enter("ada", Bounds(budget_tokens=100, budget_period="month"), TEN, None)


def test_a_budget_that_was_taken_away_needs_a_base_again(ledger: Ledger) -> None:
    ledger.leave(enter(ledger, Bounds(budget_tokens=100)), 10)
    ledger.leave(enter(ledger, Bounds(requests_per_minute=9)), 80)
    with pytest.raises(BaseNeededError):
        ledger.enter("ada", Bounds(budget_tokens=100), TEN, None)


REQUESTS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 40), st.integers(1, 40), st.integers(0, 60), st.booleans()),
    max_size=60,
)


@given(REQUESTS, st.integers(1, 6), st.integers(80, 120), st.integers(1, 4), st.integers(200, 400))
def test_no_sequence_of_requests_passes_any_limit(
    requests: list[tuple[int, int, int, int, bool]], rpm: int, tpm: int, parallel: int, budget: int
) -> None:
    clocks = Clocks()
    ledger = Ledger(lambda: clocks.now, lambda: clocks.wall)
    bounds = Bounds(rpm, tpm, parallel, budget)
    begun: list[float] = []
    running: list[tuple[Entry, int]] = []
    used = 0
    for pause, prompt, answer, real, ends in requests:
        clocks.pass_time(pause)
        try:
            entry = enter(ledger, bounds, Cost(prompt, answer, True))
        except OverLimitError as over:
            assert over.wait_s is not None  # noqa: PT017
            assert 0 < over.wait_s <= DAY_S  # noqa: PT017
        else:
            begun.append(clocks.now)
            running.append((entry, min(real, prompt + answer)))
        assert len(running) <= parallel
        assert len([when for when in begun if when > clocks.now - 60]) <= rpm
        if ends and running:
            entry, real = running.pop(0)
            ledger.leave(entry, real)
            used += real
        assert used <= budget


ALL_LIMITS = Bounds(3, 100, 2, 1000, "month")


def test_how_much_of_each_limit_is_taken_can_be_asked_at_any_time(ledger: Ledger, clocks: Clocks) -> None:
    ledger.leave(enter(ledger, ALL_LIMITS), 7)
    enter(ledger, ALL_LIMITS)
    assert ledger.list_taken(9) == {
        "ada": [("requests", 3, 2), ("tokens", 100, 17), ("parallel", 2, 1), ("budget", 1000, 17)]
    }
    clocks.pass_time(61)
    assert ledger.list_taken(9)["ada"] == [
        ("requests", 3, 0),
        ("tokens", 100, 0),
        ("parallel", 2, 1),
        ("budget", 1000, 17),
    ]
    clocks.pass_time(31 * DAY_S)
    assert ledger.list_taken(9)["ada"][-1] == Taken("budget", 1000, 0)


def test_who_has_no_limits_is_not_listed(ledger: Ledger) -> None:
    enter(ledger, Bounds())
    with pytest.raises(BaseNeededError):
        ledger.enter("bob", ALL_LIMITS, TEN, None)
    assert ledger.list_taken(9) == {}


def test_of_too_many_those_are_listed_that_came_last(ledger: Ledger) -> None:
    for number in (0, 1, 2, 3, 4, 2, 0):
        enter(ledger, Bounds(requests_per_minute=10), name=f"key {number}")
    assert list(ledger.list_taken(3)) == ["key 0", "key 2", "key 4"]
    assert ledger.list_taken(9)["key 2"] == [("requests", 10, 2)]
    assert len(ledger.list_taken(9)) == 5
