"""The cache's content: asked of the running gateway and of its state, and removed by route and by key."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.errors import ConfigError
from stackctl.operations.access.cache import CacheContent, RouteAnswers, clear_cache, show_cache
from stackctl.operations.run.up import run_up
from tests.fakes import World, raised_by, write_env

KEPT = {"answers": 3, "bytes": 40_960, "models": [{"model": "local-chat", "answers": 3, "bytes": 900}]}


def start() -> World:
    """A world in which the stack runs."""
    world = World(write_env(STACK_RUNTIME="process"))
    run_up(world.effects)
    world.actions.clear()
    return world


def test_the_running_gateway_tells_what_is_kept() -> None:
    world = start()
    world.action_answers["cache.show"] = {"status": 200, "body": KEPT}
    assert show_cache(world.effects) == (CacheContent(3, 40_960, (RouteAnswers("local-chat", 3, 900),)), "")


@pytest.mark.parametrize(
    ("route", "key", "sent"),
    [
        ("", "", {}),
        ("local-chat", "", {"model": "local-chat"}),
        ("", "anna", {"name": "anna"}),
        ("local-chat", "anna", {"model": "local-chat", "name": "anna"}),
    ],
)
def test_answers_are_removed_by_route_and_by_key(route: str, key: str, sent: dict[str, Any]) -> None:
    world = start()
    world.action_answers["cache.clear"] = {"status": 200, "body": {"removed": 2}}
    assert clear_cache(world.effects, route, key) == (2, "")
    (asked,) = world.actions
    assert {name: item for name, item in asked.items() if name not in ("url", "key")} == {"do": "cache.clear", **sent}


def test_while_it_is_stopped_its_file_is_opened() -> None:
    world = World(write_env(STACK_RUNTIME="process"))
    world.runtimes["process"].action_answers["cache.clear"] = {"status": 200, "body": {"removed": 1}}
    assert clear_cache(world.effects, "", "") == (1, "process")


def test_a_route_that_there_is_not_is_refused() -> None:
    world = start()
    error = raised_by(lambda: clear_cache(world.effects, "local-chta", ""))
    assert isinstance(error, ConfigError)
    assert "did you mean 'local-chat'?" in error.hint
    assert world.actions == []
