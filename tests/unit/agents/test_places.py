"""Who is kept out when all places are taken."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from agents.places import Places
from agents.problems import ProblemError


def test_callers_without_a_key_leave_half_of_the_places_to_those_who_have_one() -> None:
    places = Places(4)
    with ExitStack() as taken:
        for is_free in (True, True):
            taken.enter_context(places.take(is_free))
        assert find_refusal(places, is_free=True) == "busy"
        for is_free in (False, False):
            taken.enter_context(places.take(is_free))
        assert find_refusal(places, is_free=False) == "busy"
    with places.take(is_free=True):
        pass


def find_refusal(places: Places, is_free: bool) -> str:
    with pytest.raises(ProblemError) as raised, places.take(is_free):
        pass
    return raised.value.code
