"""What is tried for each served name: targets in order, each once, and a way that ends."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.gateway.route_checks import ModelFacts, check_routes
from stackctl.core.gateway.routes import build_routes, list_route_names, list_targets
from stackctl.core.settings.stackfile import Limits, Route, RouteCache, RouteDefaults, StackFile

NAMES = ("a", "b", "c", "d", "e")
FACTS = {name: ModelFacts("chat", is_local=True) for name in NAMES}

name_lists = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
routes = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(Route, targets=st.none() | name_lists, fallbacks=st.none() | name_lists),
)


def route(*fallbacks: str, targets: tuple[str, ...] | None = None) -> Route:
    return Route(fallbacks=fallbacks or None, targets=targets)


@pytest.mark.parametrize(
    ("given_routes", "expected"),
    [
        ({}, ("a",)),
        ({"a": route("b", "c")}, ("a", "b", "c")),
        ({"a": route("b", "d"), "b": route("c")}, ("a", "b", "c", "d")),
        ({"a": route(targets=("b",))}, ("b",)),
        ({"a": route("a", targets=("b",))}, ("b", "a")),
        ({"a": route("c", targets=("b",)), "b": route("d")}, ("b", "d", "c")),
        ({"a": route("b"), "b": route("b", targets=("c",))}, ("a", "c", "b")),
        ({"a": route("b", "c"), "b": route("d"), "c": route("d")}, ("a", "b", "d", "c")),
        ({"a": route("b"), "b": route("a")}, ("a", "b")),
    ],
)
def test_targets_are_tried_in_the_order_of_the_file(
    given_routes: Mapping[str, Route], expected: tuple[str, ...]
) -> None:
    assert list_targets(given_routes, "a") == expected


def test_a_route_says_what_it_does_not_leave_to_the_limits_and_the_settings() -> None:
    stackfile = StackFile(
        routes={
            "a": Route(retries=0, deadline=30, local_only=True, defaults=RouteDefaults(temperature=0.2)),
            "team": Route(targets=("a", "b")),
        },
        limits=Limits(retries=4),
    )
    own, plain, team = build_routes(stackfile, ("a", "b"), 600)
    assert (own.retries, own.deadline_s, own.is_local_only, own.defaults) == (0, 30, True, {"temperature": 0.2})
    assert (plain.name, plain.retries, plain.deadline_s, plain.is_local_only, plain.defaults) == (
        "b",
        4,
        600,
        False,
        {},
    )
    assert (team.name, team.targets) == ("team", ("a", "b"))


def test_what_only_falls_back_is_no_name_of_its_own() -> None:
    stackfile = StackFile(routes={"x": route("a"), "y": route(targets=("a",))})
    assert list_route_names(stackfile, ("a",)) == ("a", "y")


@given(routes)
def test_targets_are_models_each_once_and_the_first_is_what_the_name_stands_for(given_routes: dict[str, Route]) -> None:
    for name in NAMES:
        targets = list_targets(given_routes, name)
        assert len(set(targets)) == len(targets)
        assert set(targets) <= set(NAMES)


@given(routes)
def test_a_way_that_leads_back_is_found_exactly_when_there_is_one(given_routes: dict[str, Route]) -> None:
    """Against another way to find a ring: take away, again and again, every name that leads to none that is left."""
    edges = {name: {*item.others} - {name} for name, item in given_routes.items()}
    while removable := [name for name, others in edges.items() if not others & edges.keys()]:
        for name in removable:
            del edges[name]
    findings = check_routes(StackFile(routes=given_routes), FACTS)
    rings = [finding for finding in findings if "in a ring" in finding.message]
    assert bool(rings) is bool(edges)
    for finding in rings:
        way = finding.message.rpartition(": ")[2].split(" -> ")
        assert way[0] == way[-1] == min(way)
        assert all(later in given_routes[earlier].others for earlier, later in pairwise(way))


@given(routes, st.sets(st.sampled_from(NAMES)))
def test_nothing_that_a_local_route_tries_is_outside(given_routes: dict[str, Route], outside: set[str]) -> None:
    facts = {name: ModelFacts("chat", name not in outside, "p") for name in NAMES}
    local = {
        name: Route(targets=item.targets, fallbacks=item.fallbacks, local_only=True)
        for name, item in given_routes.items()
    }
    found = {finding.subject for finding in check_routes(StackFile(routes=local), facts)}
    for name in local:
        leaves = bool(outside & {*list_targets(local, name)})
        assert (f"routes.{name}.local_only" in found) is leaves


def test_a_route_says_when_its_answers_are_kept() -> None:
    cached = Route(cache=RouteCache(when="asked", max_age=60, shared=True))
    own, plain = build_routes(StackFile(routes={"a": cached}), ("a", "b"), 600)
    assert own.cache == {"when": "asked", "max_age_s": 60, "shared": True}
    assert plain.cache is None


def test_a_cache_of_callers_own_keys_would_keep_nothing() -> None:
    given_routes = {"a": Route(provider_key="required", cache=RouteCache())}
    facts = {"a": ModelFacts("chat", is_local=False, provider="p")}
    assert [finding.subject for finding in check_routes(StackFile(routes=given_routes), facts)] == ["routes.a.cache"]


@pytest.mark.parametrize("rule", ["allowed", "required"])
def test_a_clients_own_key_needs_a_provider_outside(rule: Literal["allowed", "required"]) -> None:
    given_routes = {"a": Route(provider_key=rule), "b": Route(targets=("a", "c"), provider_key=rule)}
    facts = {"a": ModelFacts("chat", is_local=True), "c": ModelFacts("chat", is_local=False, provider="p")}
    findings = check_routes(StackFile(routes=given_routes), facts)
    assert [finding.subject for finding in findings] == ["routes.a.provider_key"]


def test_many_ways_to_many_names_take_no_time() -> None:
    """Each of 40 names falls back to two that fall back to the same two: 2 to the 40th ways."""
    layers = {f"{side}{layer}": route(f"x{layer + 1}", f"y{layer + 1}") for layer in range(40) for side in "xy"}
    assert len(list_targets(layers, "x0")) == 1 + 2 * 40
    long = {f"m{number}": route(f"m{number + 1}") for number in range(5000)}
    assert len(list_targets(long, "m0")) == 5001
