"""A stack with services of its own on top of the gateway: chosen by up, started, asked, and refused in words."""

from __future__ import annotations

import pytest

from stackctl.core.health.probes import Status
from stackctl.errors import ConfigError
from stackctl.operations.run.up import preview_up, run_up
from stackctl.operations.site.choose_apps import keep_apps, suppose_apps
from tests.fakes import SITE, World, raised_by

ENV = SITE / ".env"
KEYS = {"CHAT_API_GATEWAY_KEY": "planted-chat-api-key", "AGENTS_GATEWAY_KEY": "planted-agents-key"}


@pytest.mark.parametrize("runtime", ["process", "compose"])
def test_they_are_started_and_asked_in_both_runtimes(world: World, runtime: str) -> None:
    world.environment |= {"STACK_APPS": "chat-api,agents", "STACK_RUNTIME": runtime, **KEYS}
    result = run_up(world.effects)
    assert {"chat-api", "agents"} <= set(result.started)
    asked = {item.subject: item.status for item in result.report.results if item.layer == "app"}
    assert asked == {"chat-api": Status.OK, "agents": Status.OK}
    paths = result.running.loaded.paths
    assert paths.own_apps["chat-api"].python == "/cache/envs/chat-api-requirements/bin/python"


def test_without_the_selector_nothing_of_them_is_there(world: World) -> None:
    result = run_up(world.effects)
    assert not {"chat-api", "agents"} & set(result.started)
    assert result.running.loaded.paths.own_apps == {}
    assert not [text for text in result.running.plan.rendered.files.values() if "chat-api" in text]


def test_up_keeps_the_apps_that_it_is_given_with_their_keys(world: World) -> None:
    done = keep_apps(world.effects, "chat-api")
    assert "STACK_APPS=chat-api" in world.files[ENV]
    assert "CHAT_API_GATEWAY_KEY=sk-made-for-tests" in world.files[ENV]
    assert "AGENTS_GATEWAY_KEY" not in world.files[ENV]
    assert [line.partition(" ")[0] for line in done] == ["completed", "completed"]
    assert "chat-api" in run_up(world.effects).started
    before = world.files[ENV]
    assert keep_apps(world.effects, "chat-api") == ()
    assert world.files[ENV] == before
    keep_apps(world.effects, "")
    assert "chat-api" not in run_up(world.effects).running.loaded.paths.own_apps


def test_what_up_cannot_keep_is_refused_and_nothing_written(world: World) -> None:
    before = world.files[ENV]
    assert "'chatapi'" in str(raised_by(lambda: keep_apps(world.effects, "chatapi")))
    world.environment["STACK_APPS"] = "redis"
    error = raised_by(lambda: keep_apps(world.effects, "chat-api"))
    assert (isinstance(error, ConfigError), error.hint) == (True, "unset STACK_APPS")
    assert world.files[ENV] == before


def test_a_dry_run_shows_them_and_writes_nothing(world: World) -> None:
    before = world.files[ENV]
    shown = preview_up(suppose_apps(world.effects, "agents"))
    assert "agents" in shown.difference
    assert "made-at-the-start" not in shown.difference
    assert world.files[ENV] == before


def test_two_callers_of_the_gateway_with_one_key_are_refused(world: World) -> None:
    world.environment |= {"STACK_APPS": "chat-api,agents", **dict.fromkeys(KEYS, "planted-one-key-for-both")}
    error = raised_by(lambda: run_up(world.effects))
    assert "CHAT_API_GATEWAY_KEY: is the same as AGENTS_GATEWAY_KEY" in str(error)
    assert "planted" not in str(error)
