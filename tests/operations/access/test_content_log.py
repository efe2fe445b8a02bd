"""Content logging: asked of the running gateway and of its state, named routes only, and shown while it is on."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.errors import ConfigError
from stackctl.operations.access.content_log import show_content_log, start_content_log, stop_content_log
from stackctl.operations.look.status import load_status
from stackctl.operations.run.up import run_up
from tests.fakes import World, raised_by, write_env

ON: dict[str, Any] = {"model": "local-chat", "started_at": 0.0, "ends_at": 1_795_900_000.0, "source": "operator"}
STARTED = {"status": 200, "body": {"logging": [ON]}}
NOTHING: dict[str, Any] = {"status": 200, "body": {"logging": []}}


def start(**values: object) -> World:
    """A world in which the stack runs."""
    world = World(write_env(STACK_RUNTIME="process", **values))
    run_up(world.effects)
    world.actions.clear()
    return world


def test_the_running_gateway_is_asked() -> None:
    world = start()
    world.action_answers |= {"logging.start": STARTED, "logging.stop": NOTHING}
    routes, stopped_in = start_content_log(world.effects, ["local-chat", "*"], 30)
    assert ([route.model for route in routes], stopped_in) == (["local-chat"], "")
    assert stop_content_log(world.effects, []) == ((), "")
    asked = [{name: item for name, item in action.items() if name not in ("url", "key")} for action in world.actions]
    assert asked == [
        {"do": "logging.start", "models": ["local-chat", "*"], "minutes": 30},
        {"do": "logging.stop"},
    ]


def test_while_it_is_stopped_its_state_is_opened() -> None:
    world = World(write_env(STACK_RUNTIME="process"))
    world.runtimes["process"].action_answers["logging.show"] = STARTED
    routes, stopped_in = show_content_log(world.effects)
    assert (routes[0].model, stopped_in) == ("local-chat", "process")


@pytest.mark.parametrize(
    ("model", "hint"), [("local-chta", "did you mean 'local-chat'?"), ("zebra", "stackctl models")]
)
def test_a_route_that_there_is_not_is_refused(model: str, hint: str) -> None:
    world = start()
    error = raised_by(lambda: start_content_log(world.effects, [model], 60))
    assert isinstance(error, ConfigError)
    assert model in error.message
    assert hint in error.hint
    assert world.actions == []


def test_status_shows_it_while_it_is_on() -> None:
    world = start()
    world.action_answers |= {"keys.list": {"status": 200, "body": {"keys": []}}, "logging.show": NOTHING}
    assert list_warnings(world) == []
    world.action_answers["logging.show"] = STARTED
    (message,) = list_warnings(world)
    assert message == "prompts and answers of 'local-chat' are written down, masked, until 2026-11-28 21:06 UTC"
    everything = ON | {"model": "*", "source": "GATEWAY_LOG_PROMPTS"}
    world.action_answers["logging.show"] = {"status": 200, "body": {"logging": [everything]}}
    (message,) = list_warnings(world)
    assert "of all routes" in message
    assert message.endswith("because of GATEWAY_LOG_PROMPTS")


def list_warnings(world: World) -> list[str]:
    status = load_status(world.effects)
    assert status is not None
    return [finding.message for finding in status.warnings]
