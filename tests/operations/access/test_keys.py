"""Keys and usage: asked of the running gateway, of its program while it is stopped, and of nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stackctl.core.stack.runtime import Answer, CompletedCommand
from stackctl.errors import ConfigError, Finding, RuntimeFailure
from stackctl.operations.access.keys import change_key, create_key, list_keys, rotate_key, show_key
from stackctl.operations.access.usage import load_usage
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.look.status import load_status
from stackctl.operations.run.down import run_down
from stackctl.operations.run.up import run_up
from tests.fakes import KEYS, World, raised_by, write_env

KEY: dict[str, Any] = {"name": "alice", "models": [], "created_at": 1.0, "secrets": []}
CREATED = {"status": 200, "body": {"key": KEY, "secret": "sk-aaaaaaaaaa-planted"}}
LISTED = {"status": 200, "body": {"keys": [KEY]}}
ABSENT = {"status": 404, "body": {"error": {"message": "There is no key.", "code": "not_found", "param": "name"}}}


def start(**values: object) -> World:
    """A world in which the stack runs."""
    world = World(write_env(STACK_RUNTIME="process", **values))
    run_up(world.effects)
    return world


def load_warnings(world: World) -> tuple[Finding, ...]:
    status = load_status(world.effects)
    assert status is not None
    return status.warnings


def test_the_running_gateway_is_asked_with_the_admin_key() -> None:
    world = start(API_GATEWAY_PORT=8123)
    world.action_answers["keys.create"] = CREATED
    result = create_key(world.effects, "alice", {"requests_per_minute": 60})
    assert (result.key, result.secret, result.stopped_in) == (KEY, "sk-aaaaaaaaaa-planted", "")
    assert world.actions == [
        {
            "url": "http://127.0.0.1:8123",
            "key": KEYS["GATEWAY_ADMIN_KEY"],
            "do": "keys.create",
            "name": "alice",
            "requests_per_minute": 60,
        }
    ]
    assert world.runtimes["process"].actions == []
    assert "planted" not in repr(result)


@pytest.mark.parametrize("runtime", ["process", "compose"])
def test_while_it_is_stopped_its_program_is_run_in_the_runtime_that_would_start_it(runtime: str) -> None:
    world = World(write_env(STACK_RUNTIME=runtime))
    world.runtimes[runtime].action_answers["keys.list"] = LISTED
    done = list_keys(world.effects, revoked=True)
    assert (done.body["keys"], done.stopped_in) == ([KEY], runtime)
    assert world.runtimes[runtime].actions == [{"do": "keys.list", "revoked": True}]
    assert world.actions == []
    assert world.running == []


def test_auto_opens_the_state_that_up_would() -> None:
    world = World(write_env(STACK_RUNTIME="auto"))
    world.runtimes["compose"].action_answers["keys.list"] = LISTED
    assert list_keys(world.effects, revoked=False).stopped_in == "compose"


def test_a_stack_that_was_stopped_is_asked_where_it_is_now() -> None:
    world = start()
    world.action_answers["keys.list"] = LISTED
    assert list_keys(world.effects, revoked=False).stopped_in == ""
    run_down(world.effects)
    world.runtimes["process"].action_answers["keys.list"] = LISTED
    assert list_keys(world.effects, revoked=False).stopped_in == "process"


def test_a_gateway_that_hangs_is_an_error_and_its_state_is_not_opened() -> None:
    world = start()
    world.gateway_failure = RuntimeFailure("The gateway hangs.", "run 'stackctl restart api-gateway'")
    error = raised_by(lambda: list_keys(world.effects, revoked=False))
    assert error is world.gateway_failure
    assert world.runtimes["process"].actions == []


def test_a_program_that_fails_is_told_with_its_words() -> None:
    world = World(write_env(STACK_RUNTIME="process"))
    failed = CompletedCommand(("python", "-m", "gateway.administer"), 1, "", "ModuleNotFoundError: gateway")
    world.runtimes["process"].action_failure = failed
    error = raised_by(lambda: list_keys(world.effects, revoked=False))
    assert isinstance(error, RuntimeFailure)
    assert "ModuleNotFoundError: gateway" in error.message
    assert "stackctl up" in error.hint


def test_a_state_that_cannot_be_used_is_an_error_with_a_next_step() -> None:
    error = raised_by(lambda: list_keys(start().effects, revoked=False))
    assert isinstance(error, RuntimeFailure)
    assert (error.message, "stackctl doctor" in error.hint) == ("There is no database.", True)


def test_status_and_doctor_tell_of_a_gateway_without_a_state() -> None:
    world = start()
    (warning,) = load_warnings(world)
    assert "keys are not known and usage is not counted: There is no database." in warning.message
    assert warning in run_doctor(world.effects)
    world.action_answers["keys.list"] = LISTED
    assert load_warnings(world) == ()
    world.gateway_failure = RuntimeFailure("The gateway hangs.", "")
    assert load_warnings(world) == ()
    assert all(finding.subject != "state" for finding in run_doctor(world.effects))


def test_a_name_that_no_key_has_is_answered_with_the_nearest() -> None:
    world = start()
    world.action_answers = {"keys.show": ABSENT, "keys.list": LISTED}
    error = raised_by(lambda: show_key(world.effects, "alic"))
    assert isinstance(error, ConfigError)
    assert (error.message, error.hint) == ("There is no key.", "did you mean 'alice'?")
    assert "keys list" in raised_by(lambda: show_key(world.effects, "zzzzzz")).hint


def test_models_that_nobody_serves_are_warned_of() -> None:
    world = start()
    models = ["local-chat", "local-*", "lokal-chat"]
    answer = {"status": 200, "body": {"key": {**KEY, "models": models}, "secret": "sk-a"}}
    world.action_answers = {"keys.create": answer, "keys.change": answer, "keys.rotate": answer}
    served = {"data": [{"id": "local-chat"}, {"id": "claude-*"}]}
    world.answers["/v1/models?aliases=true"] = Answer(200, json.dumps(served))
    (warning,) = create_key(world.effects, "alice", {"models": models}).warnings
    assert (warning.message, warning.hint) == (
        "the gateway serves nothing that 'lokal-chat' names",
        "did you mean 'local-chat'?",
    )
    assert len(change_key(world.effects, "alice", {"models": models}).warnings) == 1
    assert change_key(world.effects, "alice", {"requests_per_minute": 5}).warnings == ()
    assert rotate_key(world.effects, "alice", 0).warnings == ()


def test_usage_asks_for_its_span_and_draws_only_where_it_is_told() -> None:
    world = start()
    row = {"name": "alice", "requests": 2, "prompt_tokens": 5, "completion_tokens": 7}
    world.action_answers["usage.report"] = {"status": 200, "body": {"rows": [row], "total": row}}
    report, stopped_in = load_usage(world.effects, "model", 5.0, None, Path("/site/used.svg"))
    assert (report.by, report.rows[0].tokens, report.total.requests, stopped_in) == ("model", 12, 2, "")
    asked = {name: value for name, value in world.actions[-1].items() if name not in ("url", "key")}
    assert asked == {"do": "usage.report", "by": "model", "since": 5.0}
    assert world.files[Path("/site/used.svg")].startswith("<svg ")
    load_usage(world.effects, "day", None, 9.0)
    assert world.actions[-1]["until"] == 9.0
    assert [path for path in world.files if path.suffix == ".svg"] == [Path("/site/used.svg")]
