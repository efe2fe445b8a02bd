"""A model file that is replaced by another of the same name: noticed by health, served after up or restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.health.probes import ProbeResult
from stackctl.operations.look.health import check_health
from stackctl.operations.run.down import run_down, run_restart
from stackctl.operations.run.up import run_up
from stackctl.operations.site.running import load_running
from tests.fakes import SITE, FakeRuntime, World, write_env

SHARDS = ("big-00001-of-00002.gguf", "big-00002-of-00002.gguf")


@pytest.fixture(params=["compose", "process"])
def world(request: pytest.FixtureRequest) -> World:
    """A running stack with a model of two files and the demo model."""
    world = World(write_env(STACK_RUNTIME=request.param, CHAT_MODEL=SHARDS[0]))
    run_up(world.effects)
    return world


def get_runtime(world: World) -> FakeRuntime:
    return next(runtime for runtime in world.runtimes.values() if runtime.states)


def ask_health(world: World, subject: str = "local-chat") -> ProbeResult:
    report = check_health(world.effects, load_running(world.effects))
    return next(item for item in report.results if (item.layer, item.subject) == ("model", subject))


def put_other(world: World, name: str) -> Path:
    """Another file in the place of this one, just now."""
    path = SITE / "models" / name
    world.identities[path], world.file_age_s = [2, 2, 2], 5.0
    return path


@pytest.mark.parametrize("name", SHARDS)
def test_health_says_that_another_file_lies_there_and_up_serves_it(world: World, name: str) -> None:
    assert ask_health(world).status == "ok"
    put_other(world, name)
    result = ask_health(world)
    assert result.status == "failed"
    assert result.detail == f"{name} is another file than the one that was loaded"
    assert result.hint == "run 'stackctl up'"
    assert ask_health(world, "local-embed").status == "ok"
    assert run_up(world.effects).started == ("inference-chat",)
    assert ask_health(world).status == "ok"
    assert run_up(world.effects).started == ()


def test_a_restart_serves_it_too(world: World) -> None:
    put_other(world, SHARDS[0])
    assert run_restart(world.effects, ("inference-chat",)).status == "ok"
    assert ask_health(world).status == "ok"
    assert run_up(world.effects).started == ()


def test_down_and_up_forget_the_file_there_was(world: World) -> None:
    run_down(world.effects)
    put_other(world, SHARDS[0])
    world.file_age_s = 100.0
    run_up(world.effects)
    assert ask_health(world).status == "ok"


@pytest.mark.parametrize(("age_s", "status"), [(30.0, "failed"), (90.0, "ok")])
def test_an_engine_that_came_back_by_itself_loaded_what_was_there_by_then(
    world: World, age_s: float, status: str
) -> None:
    """Its process is another one than ``up`` started; only the time tells which file it read."""
    runtime = get_runtime(world)
    put_other(world, SHARDS[0])
    world.file_age_s = age_s
    runtime.states["inference-chat"] = replace(runtime.states["inference-chat"], start="another", uptime_s=60)
    assert ask_health(world).status == status


def test_a_stack_of_an_earlier_version_is_no_failure(world: World) -> None:
    record = SITE / ".stack" / "model-files" / "inference-chat.json"
    for text in ("", "[]", "{}", '{"start": 1, "files": 5}'):
        world.files[record] = text
        assert ask_health(world).status == "ok"
