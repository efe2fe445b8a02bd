"""The key rule: free mode takes the caller's key and otherwise the service's own, normal mode the caller's alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from chat_api.exceptions.chat_exceptions import ConfigurationException, ValidationException
from chat_api.service.keys import hash_key, hash_token, join_keys, select_key

CALLERS, OWN = "sk-callers", "sk-own"


@pytest.mark.parametrize(
    ("callers", "free_mode", "own", "expected"),
    [
        (CALLERS, True, OWN, (CALLERS, "user")),
        (CALLERS, True, "", (CALLERS, "user")),
        (CALLERS, False, OWN, (CALLERS, "user")),
        (CALLERS, False, "", (CALLERS, "user")),
        ("", True, OWN, (OWN, "default")),
    ],
)
def test_a_key_is_chosen(callers: str, free_mode: bool, own: str, expected: tuple[str, str]) -> None:
    chosen = select_key(callers, free_mode, own)
    assert (chosen.key, chosen.source) == expected


@pytest.mark.parametrize(
    ("callers", "free_mode", "own", "code"),
    [
        ("", False, OWN, "key_needed"),
        ("", False, "", "key_needed"),
        ("", True, "", "service_key_missing"),
        ("two words", True, OWN, "invalid_key"),
        ("비밀", True, OWN, "invalid_key"),
        ("a\r\nb", False, OWN, "invalid_key"),
        ("a" * 1025, False, OWN, "invalid_key"),
    ],
)
def test_no_key_is_chosen(callers: str, free_mode: bool, own: str, code: str) -> None:
    """Above all: the service's own is never taken for a caller's that is wrong."""
    with pytest.raises((ValidationException, ConfigurationException)) as refused:
        select_key(callers, free_mode, own)
    assert refused.value.code == code


def test_one_key_may_be_sent_in_two_places() -> None:
    assert join_keys(" sk-a ", "") == join_keys("", "sk-a") == join_keys("sk-a", "sk-a") == "sk-a"
    with pytest.raises(ValidationException, match="keys_differ"):
        join_keys("sk-a", "sk-b")


@pytest.mark.parametrize(
    ("free_mode", "own", "expected"),
    [(True, OWN, (False, True)), (True, "", (False, False)), (False, OWN, (False, False))],
)
def test_who_sends_a_key_that_the_gateway_does_not_know_has_the_places_of_those_without(
    free_mode: bool, own: str, expected: tuple[bool, bool]
) -> None:
    """Where free mode may answer it: in the end anybody can make up a key."""
    chosen = select_key(CALLERS, free_mode, own)
    assert (chosen.is_free, replace(chosen, kind="provider").is_free) == expected


def test_a_token_is_never_taken_for_a_key() -> None:
    assert hash_key("same") != hash_token("same")
