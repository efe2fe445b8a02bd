"""Other names of served ones: what they stand for, and those that lead nowhere or are never reached."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from gateway.catalog.values import Alias
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.gateway.aliases import check_aliases, covers_alias, matches_alias

SERVED = ("local-chat", "gpt")
patterns = st.text("ab*", min_size=1, max_size=6)
names = st.text("ab", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("match", "name", "expected"),
    [
        ("claude-*", "claude-sonnet-4-5", True),
        ("claude-*", "claude-", True),
        ("claude-*", "claude", False),
        ("*", "anything", True),
        ("*-mini", "gpt-4o-mini", True),
        ("a.c", "abc", False),
        ("claude-*-haiku*", "claude-3-haiku-2024", True),
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
    ],
)
def test_a_star_stands_for_any_characters(match: str, name: str, expected: bool) -> None:
    assert matches_alias(match, name) is expected


@given(patterns, names)
def test_aliases_match_as_a_shell_s_patterns_do(match: str, name: str) -> None:
    assert matches_alias(match, name) is fnmatchcase(name, match)
    # The gateway's package stands alone in its image and matches for itself: both must mean the same.
    assert Alias(match, "route").covers(name) is matches_alias(match, name)


@given(patterns, patterns, names)
def test_what_one_alias_covers_it_stands_for_itself(first: str, second: str, name: str) -> None:
    if covers_alias(first, second) and matches_alias(second, name):
        assert matches_alias(first, name)


@given(patterns, patterns)
def test_an_alias_that_is_not_covered_has_a_name_of_its_own(first: str, second: str) -> None:
    """A run of characters that stand in no pattern is one that only a ``*`` takes."""
    if not covers_alias(first, second):
        assert not matches_alias(first, second.replace("*", "zz"))


def test_many_stars_take_no_time() -> None:
    assert not matches_alias("*a" * 60 + "b", "a" * 5000)


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        ({"claude-*": "local-chat", "*": "gpt"}, []),
        ({"*": "gpt"}, []),
        ({"claude-*": "lokal-chat"}, ["'lokal-chat' is no served name"]),
        ({"gpt": "local-chat"}, ["'gpt' is a served name, which it would hide"]),
        ({"a": "local-chat", "b": "a"}, ["'a' is no served name"]),
        ({"*": "gpt", "claude-*": "local-chat"}, ["is never reached: '*' above it"]),
        ({"claude-*": "gpt", "claude-*-haiku": "local-chat"}, ["is never reached: 'claude-*' above it"]),
        ({"gpt": "gtp"}, ["would hide", "no served name"]),
    ],
)
def test_an_alias_leads_to_a_served_name_and_can_be_reached(aliases: dict[str, str], words: list[str]) -> None:
    findings = check_aliases(aliases, SERVED)
    assert [word in finding.message for word, finding in zip(words, findings, strict=True)] == [True] * len(words)
    assert all(finding.subject.startswith("aliases.") and finding.hint for finding in findings)


def test_a_mistyped_target_names_the_nearest() -> None:
    (finding,) = check_aliases({"claude-*": "lokal-chat"}, SERVED)
    assert finding.hint == "did you mean 'local-chat'?"
