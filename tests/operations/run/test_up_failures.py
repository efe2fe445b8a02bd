"""A start that fails, is interrupted, or follows one that was: what is left running and what is cleaned up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from stackctl.core.stack.runtime import Answer, Phase, ServiceState
from stackctl.errors import ConfigError, NotRunning, RuntimeFailure, UnhealthyError
from stackctl.operations.look.status import load_logs
from stackctl.operations.run.up import run_up
from stackctl.operations.site.state import load_state
from tests.fakes import SITE, World, override, raised_by, write_env
from tests.operations.run.services import SERVICES


@pytest.mark.parametrize("method", ["prepare", "start"])
def test_a_start_that_fails_leaves_nothing_running(world: World, method: str) -> None:
    world.runtimes["compose"].failures[method] = RuntimeFailure("a command failed")
    assert raised_by(lambda: run_up(world.effects)).exit_code == 5
    assert world.running == []
    assert load_state(world.effects.files, world.effects.paths) is None


def test_a_stack_that_does_not_get_ready_is_stopped_and_its_log_is_quoted(world: World) -> None:
    runtime = world.runtimes["compose"]
    runtime.unready, runtime.log = {"inference-chat"}, "cannot load the model"
    error = raised_by(lambda: run_up(world.effects, wait_timeout_s=5))
    assert isinstance(error, UnhealthyError)
    assert "inference-chat" in str(error)
    assert "cannot load the model" in str(error)
    assert 5 <= world.now < 6
    assert world.running == []


def test_a_stack_that_gives_a_wrong_answer_is_stopped(world: World) -> None:
    world.answers["/v1/chat/completions"] = Answer(200, '{"choices": [{"message": {"content": "bla"}}]}')
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, UnhealthyError)
    assert "answered 'bla'" in str(error)
    assert world.running == []


def test_a_service_that_keeps_dying_is_not_waited_for(world: World) -> None:
    runtime = world.runtimes["compose"]
    runtime.unready = {"inference-chat"}

    def die() -> None:
        runtime.states["inference-chat"] = ServiceState("inference-chat", Phase.FAILED, "exited with code 1")

    world.on_sleep = die
    error = raised_by(lambda: run_up(world.effects, wait_timeout_s=600))
    assert "inference-chat does not stay up: failed, exited with code 1" in str(error)
    assert world.now < 2


def test_a_service_without_threads_is_told_which_limit_to_raise(world: World) -> None:
    runtime = world.runtimes["compose"]
    runtime.unready, runtime.log = {"inference-chat"}, "what():  Resource temporarily unavailable"

    def die() -> None:
        runtime.states["inference-chat"] = ServiceState("inference-chat", Phase.FAILED, "exited with code 134")

    world.on_sleep = die
    assert "ulimit -u" in raised_by(lambda: run_up(world.effects, wait_timeout_s=600)).hint


def test_a_service_that_dies_after_it_was_ready_has_its_log_quoted(world: World) -> None:
    """The stack is stopped then: a hint to look at its logs would lead nowhere."""
    runtime = world.runtimes["compose"]
    runtime.log = "terminate called"
    world.answers["/v1/chat/completions"] = Answer(500, "it is gone")

    def die() -> None:
        runtime.states["inference-chat"] = ServiceState("inference-chat", Phase.RESTARTING, "exited with code 1")

    world.on_sleep = die
    error = raised_by(lambda: run_up(world.effects))
    assert "last lines of inference-chat:\n    terminate called" in str(error)
    findings = [item for item in error.findings if item.subject == "service inference-chat"]
    assert [item.hint for item in findings] == ["the end of its log is above"]
    assert world.running == []


def test_an_interrupt_stops_what_was_started(world: World) -> None:
    world.runtimes["compose"].unready = {"api-gateway"}

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.on_sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        run_up(world.effects)
    assert world.running == []
    assert load_state(world.effects.files, world.effects.paths) is None


@pytest.mark.parametrize("has_state", [True, False])
def test_what_an_earlier_command_left_behind_is_ended_first(world: World, has_state: bool) -> None:
    world.environment["STACK_RUNTIME"] = "process"
    runtime = world.runtimes["process"]
    if has_state:
        run_up(world.effects)
        runtime.states, runtime.leftovers = {}, (4711,)
    else:
        runtime.states = {"api-gateway": ServiceState("api-gateway", Phase.RUNNING, pid=100)}
    runtime.calls.clear()
    assert list(run_up(world.effects).started) == [name for name in SERVICES if name != "ingress"]
    assert runtime.calls == ["stop", "prepare", "start"]
    assert "ending what an earlier command left behind" in world.reports


def test_a_bad_configuration_ends_nothing_of_what_an_earlier_command_left(world: World) -> None:
    world.environment["STACK_RUNTIME"] = "process"
    run_up(world.effects)
    runtime = world.runtimes["process"]
    runtime.leftovers = (4711,)
    runtime.calls.clear()
    world.files[SITE / ".env"] = write_env(CHAT_MODLE="x")
    assert isinstance(raised_by(lambda: run_up(world.effects)), ConfigError)
    assert runtime.calls == []


def test_signals_are_held_while_a_failed_start_is_cleaned_up(world: World) -> None:
    held: list[str] = []
    runtime = world.runtimes["compose"]
    runtime.failures["start"] = RuntimeFailure("a command failed")

    @contextmanager
    def hold() -> Iterator[None]:
        yield
        held.extend(runtime.calls)

    effects = replace(world.effects, machine=override(world.effects.machine, hold_interrupts=hold))
    assert raised_by(lambda: run_up(effects)).exit_code == 5
    assert held[-1] == "stop"


@pytest.mark.parametrize("method", ["prepare", "start"])
def test_a_stack_that_ran_before_keeps_running(world: World, method: str) -> None:
    run_up(world.effects)
    world.runtimes["compose"].failures[method] = RuntimeFailure("a command failed")
    assert raised_by(lambda: run_up(world.effects)).exit_code == 5
    assert world.running == SERVICES
    assert load_state(world.effects.files, world.effects.paths) is not None


def test_a_failure_while_waiting_names_no_secret(world: World) -> None:
    world.answers["/v1/models"] = Answer(401)
    error = raised_by(lambda: run_up(world.effects))
    assert "GATEWAY_KEY was refused (401)" in str(error)
    assert "planted" not in str(error)


def test_logs_of_a_start_that_failed_are_named(world: World) -> None:
    log = world.effects.paths.state_dir / "logs" / "api-gateway.log"
    world.modes[log] = 0o600
    error = raised_by(lambda: load_logs(world.effects, (), 10))
    assert isinstance(error, NotRunning)
    assert error.hint == f"run 'stackctl up'; what processes wrote before is in {log.parent}"
