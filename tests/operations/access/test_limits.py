"""A Redis that is away is said where the stack's state is shown."""

from __future__ import annotations

import json

import pytest

from stackctl.core.stack.runtime import Answer
from stackctl.operations.look.status import load_status
from stackctl.operations.run.up import run_up
from tests.fakes import World, write_env

AWAY = {"redis": "redis.example:6379", "status": "away", "reason": "does not answer", "rule": "refuse"}


def load_warnings(limits: dict[str, str] | None, **settings: str) -> list[str]:
    world = World(write_env(STACK_RUNTIME="process", **settings))
    run_up(world.effects)
    world.answers["/health"] = Answer(200, json.dumps({"status": "ok"} | ({"limits": limits} if limits else {})))
    status = load_status(world.effects)
    assert status is not None
    return [str(item.message) for item in status.warnings if item.subject == "limits"]


def test_a_redis_that_is_away_is_a_warning_with_what_is_done_meanwhile() -> None:
    said = "Redis at redis.example:6379 does not answer; meanwhile what has limits is refused"
    assert load_warnings(AWAY, GATEWAY_REDIS_URL="redis://redis.example") == [said]
    assert "each gateway counts alone" in load_warnings(AWAY | {"rule": "local"}, GATEWAY_REDIS_URL="redis://r")[0]


@pytest.mark.parametrize("limits", [{**AWAY, "status": "ok"}, None])
def test_otherwise_nothing_is_said(limits: dict[str, str] | None) -> None:
    assert load_warnings(limits, GATEWAY_REDIS_URL="redis://redis.example") == []


def test_nobody_is_asked_where_no_redis_is_set() -> None:
    assert load_warnings(AWAY) == []
