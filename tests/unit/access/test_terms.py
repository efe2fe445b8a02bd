"""What a key may: counts, budgets and names as they are typed, and a key in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.access.options import OptionError, build_terms
from stackctl.core.access.terms import (
    LARGEST_COUNT,
    Budget,
    describe_limits,
    describe_models,
    describe_state,
    list_facts,
    parse_budget,
    parse_count,
    parse_names,
    write_count,
)

NOW = 1_800_000_000.0
KEY: dict[str, Any] = {
    "name": "alice",
    "created_at": NOW - 86_400,
    "expires_at": NOW + 3 * 86_400,
    "revoked_at": None,
    "models": ["local-chat"],
    "requests_per_minute": 60,
    "tokens_per_minute": 100_000,
    "parallel_requests": 4,
    "budget_tokens": 1_500_000,
    "budget_period": "month",
    "local_only": True,
    "note": "her laptop",
    "secrets": [
        {"id": "aaaaaaaaaa", "created_at": NOW - 86_400, "ends_at": NOW + 3600},
        {"id": "bbbbbbbbbb", "created_at": NOW - 60, "ends_at": None},
        {"id": "cccccccccc", "created_at": NOW - 90_000, "ends_at": NOW - 1},
    ],
}
OPEN: dict[str, Any] = dict.fromkeys(KEY) | {"name": "bob", "created_at": NOW, "models": [], "secrets": []}


@given(st.integers(1, LARGEST_COUNT))
def test_a_count_survives_being_written_and_read(count: int) -> None:
    assert parse_count(write_count(count)) == count


@pytest.mark.parametrize(("text", "count"), [("60", 60), ("100k", 100_000), ("2M", 2_000_000), ("1g", 10**9)])
def test_a_count_may_have_a_letter(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5k", "1 000", "k", "10kk", "٣", "1e3", "9999999999999999", "none"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of at least 1"):
        parse_count(text)


@given(st.text(max_size=20))
def test_any_text_is_a_budget_or_a_clear_error(text: str) -> None:
    try:
        assert parse_budget(text).tokens >= 1
    except ValueError as error:
        assert str(error).startswith("'")  # noqa: PT017 - either is right


def test_a_budget_is_tokens_in_a_day_or_a_month() -> None:
    assert parse_budget("1M/day") == Budget(1_000_000, "day")
    assert parse_budget("20M/month") == Budget(20_000_000, "month")
    for text in ("1M", "1M/week", "0/day", "/day", "1M/day/month"):
        with pytest.raises(ValueError, match=r"is no budget|is no number"):
            parse_budget(text)


def test_names_stand_between_commas_each_once() -> None:
    assert parse_names("a, b,a") == ("a", "b")
    for text in ("", "a,,b", ","):
        with pytest.raises(ValueError, match="is no list of names"):
            parse_names(text)


def test_a_key_in_words() -> None:
    limits = "60 requests/min, 100k tokens/min, 4 at once, 1500k tokens/month, local only"
    assert (describe_models(KEY), describe_limits(KEY)) == ("local-chat", limits)
    assert (describe_models(OPEN), describe_limits(OPEN), describe_state(OPEN, NOW)) == ("all", "none", "valid")
    assert describe_state(KEY, NOW) == "valid for 3 d"
    assert describe_state(KEY | {"expires_at": NOW}, NOW) == "expired 2027-01-15 08:00 UTC"
    assert describe_state(KEY | {"revoked_at": NOW}, NOW) == "revoked 2027-01-15 08:00 UTC"


def test_each_secret_is_named_by_what_logs_may_show_and_its_end() -> None:
    secrets = [text for title, text in list_facts(KEY, NOW) if title == "secret"]
    assert secrets == [
        "sk-aaaaaaaaaa-..., since 2027-01-14 08:00 UTC, for 1 h more",
        "sk-bbbbbbbbbb-..., since 2027-01-15 07:59 UTC",
        "sk-cccccccccc-..., since 2027-01-14 07:00 UTC, ended",
    ]
    assert ("expires", "never") in list_facts(OPEN, NOW)
    assert "note" not in dict(list_facts(OPEN, NOW))


def test_options_become_the_gateways_fields_and_those_not_given_none() -> None:
    given_options = {"models": "a,b*", "rpm": "60", "tpm": "100k", "parallel": "4", "budget_tokens": "1M/month"}
    assert build_terms({**given_options, "expires": "1d", "note": "", "other": None}, True, NOW) == {
        "models": ["a", "b*"],
        "requests_per_minute": 60,
        "tokens_per_minute": 100_000,
        "parallel_requests": 4,
        "budget_tokens": 1_000_000,
        "budget_period": "month",
        "expires_at": NOW + 86_400,
        "note": "",
        "local_only": True,
    }
    assert build_terms(dict.fromkeys(given_options), None, NOW) == {}


def test_none_takes_each_limit_away() -> None:
    options = dict.fromkeys(("models", "rpm", "tpm", "parallel", "budget_tokens", "expires"), "none")
    assert build_terms(options, False, NOW) == {
        "models": [],
        "requests_per_minute": None,
        "tokens_per_minute": None,
        "parallel_requests": None,
        "budget_tokens": None,
        "expires_at": None,
        "local_only": False,
    }


@pytest.mark.parametrize(
    ("option", "text"), [("rpm", "0"), ("parallel", "many"), ("budget_tokens", "5"), ("expires", "1999-01-01")]
)
def test_a_wrong_option_is_named(option: str, text: str) -> None:
    with pytest.raises(OptionError, match=text) as raised:
        build_terms({option: text}, None, NOW)
    assert raised.value.option == option


def test_a_key_of_an_older_copy_is_said_to_be_unknown() -> None:
    key = {"name": "a", "unknown_since": 1_700_000_000.0}
    assert describe_state(key, 1_700_000_100.0).startswith("unknown: perhaps revoked before 2023-11-14")
    assert describe_state({**key, "expires_at": 1_700_000_050.0}, 1_700_000_100.0).startswith("expired")
    assert describe_state({**key, "revoked_at": 1_700_000_050.0}, 1_700_000_100.0).startswith("revoked")
