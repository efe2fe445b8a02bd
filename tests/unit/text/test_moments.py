"""Durations and moments: what a person types is read as meant, and nothing else is read at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.text.moments import (
    LONGEST_S,
    parse_duration_s,
    parse_end,
    parse_since,
    parse_until,
    write_distance,
    write_moment,
)

NOW = datetime(2027, 1, 20, 12, 30, tzinfo=UTC).timestamp()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "24", "1.5h", "-1d", "+1d", " 1d", "1d ", "1D", "1y", "1d2h", "٣d", "1d\n"])
def test_what_is_no_duration_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number with s, m, h, d or w"):
        parse_duration_s(text)


def test_a_duration_of_more_than_a_century_is_refused() -> None:
    with pytest.raises(ValueError, match="century"):
        parse_duration_s("999999999w")


def test_a_day_begins_at_its_first_moment_and_ends_after_its_last() -> None:
    assert parse_since("2027-01-19", NOW) == at("2027-01-19T00:00+00:00")
    assert parse_until("2027-01-19", NOW) == at("2027-01-20T00:00+00:00")
    assert parse_end("2027-01-31", NOW) == at("2027-02-01T00:00+00:00")
    # Today has not ended yet.
    assert parse_end("2027-01-20", NOW) == at("2027-01-21T00:00+00:00")


def test_a_duration_looks_back_for_a_report_and_ahead_for_an_end() -> None:
    assert parse_since("7d", NOW) == parse_until("7d", NOW) == NOW - 7 * 86_400
    assert parse_end("7d", NOW) == NOW + 7 * 86_400


def test_a_time_of_a_day_is_of_utc_unless_it_says_otherwise() -> None:
    assert parse_since("2027-01-19T08:00", NOW) == at("2027-01-19T08:00+00:00")
    assert parse_until("2027-01-19T08:00+09:00", NOW) == at("2027-01-18T23:00+00:00")


@pytest.mark.parametrize("text", ["2027-01-19", "2020-01-01", "2027-01-20T12:30"])
def test_an_end_in_the_past_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is in the past"):
        parse_end(text, NOW)


@pytest.mark.parametrize("text", ["tomorrow", "2027-02-30", "20270131", "2027-W01-1", "31.01.2027", "2027-13-01", ""])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a duration|is no day"):
        parse_end(text, NOW)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_a_clear_error(text: str) -> None:
    for parse in (parse_since, parse_until, parse_end):
        try:
            assert abs(parse(text, NOW)) < 1e12
        except ValueError as error:
            assert str(error).startswith("'")  # noqa: PT017 - either is right


@given(st.integers(1, LONGEST_S // 604_800), st.sampled_from("smhdw"))
def test_what_was_written_for_people_is_about_what_was_typed(count: int, unit: str) -> None:
    seconds = parse_duration_s(f"{count}{unit}")
    number, word = write_distance(seconds).split()
    unit_s = {"s": 1, "min": 60, "h": 3600, "d": 86_400}[word]
    assert abs(int(number) * unit_s - seconds) <= unit_s / 2


def test_moments_are_written_to_the_minute_and_impossible_ones_not_at_all() -> None:
    assert write_moment(NOW) == "2027-01-20 12:30 UTC"
    assert write_moment(1e300) == ""
