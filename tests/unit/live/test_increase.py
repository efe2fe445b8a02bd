"""Growth of counters, and quantiles of what was observed meanwhile."""

from __future__ import annotations

import math
from statistics import quantiles

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stackctl.core.live.exposition import parse_scrape
from stackctl.core.live.increase import Window, find_quantile

BOUNDS = (0.1, 1.0, 10.0, math.inf)
OBSERVED = st.lists(st.floats(0.001, 9.99), min_size=1, max_size=50)


def window(before: str, after: str, seconds: float = 10.0) -> Window:
    return Window(parse_scrape(before, 100.0), parse_scrape(after, 100.0 + seconds))


def count(observed: list[float]) -> dict[float, float]:
    return {bound: float(sum(value <= bound for value in observed)) for bound in BOUNDS}


def test_counters_grow_from_what_they_were_or_from_nothing() -> None:
    found = window('n{k="a",s="1"} 5\nn{k="a",s="2"} 1', 'n{k="a",s="1"} 7\nn{k="a",s="2"} 1\nn{k="b",s="1"} 4')
    assert found.sum_increase("n", "k") == {"a": 2.0, "b": 4.0}
    assert found.sum_increase("n", "k", s="2") == {"a": 0.0}
    assert found.sum_increase("n") == {"": 6.0}
    assert found.sum_increase("other", "k") == {}
    assert found.seconds == 10.0


def test_a_counter_that_began_anew_grew_by_all_of_it() -> None:
    assert window("n 500", "n 3").sum_increase("n") == {"": 3.0}


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_no_counter_ever_shrinks(before: float, after: float) -> None:
    assert window(f"n {before!r}", f"n {after!r}").sum_increase("n")[""] >= 0


@given(OBSERVED, st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_observation_of_its_rank(observed: list[float], share: float) -> None:
    exact = sorted(observed)[max(math.ceil(share * len(observed) - 1e-9), 1) - 1]
    bound = min(bound for bound in BOUNDS if exact <= bound)
    below = max((item for item in BOUNDS if item < bound), default=0.0)
    assert below - 1e-9 <= find_quantile(count(observed), share) <= bound + 1e-9


@given(OBSERVED, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_never_sooner(observed: list[float], one: float, other: float) -> None:
    assume(one <= other)
    buckets = count(observed)
    assert find_quantile(buckets, one) <= find_quantile(buckets, other) + 1e-9


def test_the_median_of_evenly_spread_observations_is_theirs() -> None:
    observed = [0.1 + number * 0.009 for number in range(1, 101)]
    assert find_quantile(count(observed), 0.5) == pytest.approx(quantiles(observed)[1], abs=0.01)


def test_what_is_above_the_last_bound_is_given_as_that_bound() -> None:
    assert find_quantile({0.1: 0, 1.0: 0, math.inf: 3}, 0.95) == 1.0


def write_histogram(**counts: tuple[int, int, int]) -> str:
    rows = [f'h_bucket{{p="{p}",le="{le}"}} {count}' for p, found in counts.items()
            for le, count in zip(("0.1", "1.0", "+Inf"), found, strict=True)]  # fmt: skip
    return "\n".join(rows)


def test_quantiles_are_those_of_the_window_alone() -> None:
    found = window(write_histogram(a=(100, 100, 100), b=(4, 4, 4)), write_histogram(a=(100, 110, 110), b=(4, 4, 4)))
    by_label = found.find_quantiles("h", "p", shares=(0.5, 1.0))
    assert list(by_label) == ["a"]
    assert by_label["a"] == pytest.approx((0.55, 1.0))
    assert found.find_quantiles("h", shares=(0.5,))[""] == pytest.approx((0.55,))
