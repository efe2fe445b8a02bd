"""Bringing the stack up: twice, after edits, on a machine without Docker or an image, and with secrets in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from stackctl.core.machine.docker_facts import DockerFacts
from stackctl.core.machine.host import Host
from stackctl.core.stack.runtime import Answer
from stackctl.errors import ImageUnavailable
from stackctl.operations.run.down import run_down
from stackctl.operations.run.up import run_up
from tests.fakes import SITE, World, override, raised_by, write_env
from tests.operations.run.services import SERVICES


def test_up_starts_everything_and_proves_that_it_answers(world: World) -> None:
    result = run_up(world.effects)
    assert (list(result.started), world.running) == (SERVICES, SERVICES)
    assert result.report.status == "ok"
    proofs = {item.subject: item.layer for item in result.report.results if item.layer in ("completion", "embeddings")}
    assert proofs == {"local-chat": "completion", "local-embed": "embeddings"}


def test_what_fails_once_on_a_busy_machine_is_asked_again(world: World) -> None:
    path, cleared = "/v1/chat/completions", list[str]()

    def clear_once_asked() -> None:
        if path in world.answers and any(path in request for request in world.requests):
            del world.answers[path]
            cleared.append(path)

    world.answers[path] = Answer(0, error="no answer within 60 s")
    world.on_sleep = clear_once_asked
    assert run_up(world.effects).report.status == "ok"
    assert cleared


def test_up_twice_changes_nothing(world: World) -> None:
    run_up(world.effects)
    files = dict(world.files)
    assert run_up(world.effects).started == ()
    assert world.files == files


def test_the_files_that_up_writes_hold_no_secret_and_its_state_is_private(world: World) -> None:
    run_up(world.effects)
    written = {path: text for path, text in world.files.items() if path != SITE / ".env"}
    assert not [path for path, text in written.items() if "planted" in text]
    assert world.modes[SITE / ".stack" / "state.json"] == 0o600


@pytest.mark.parametrize(
    ("edit", "restarted"),
    [
        ({"INFERENCE_SLOTS": 2}, {"inference-chat", "inference-embed", "api-gateway"}),
        ({"GATEWAY_REQUEST_TIMEOUT_S": 30}, {"api-gateway"}),
        ({"GATEWAY_KEY": "planted-another-key"}, {"api-gateway"}),
        ({"INFERENCE_API_KEY": "planted-another-key"}, {"inference-chat", "inference-embed", "api-gateway"}),
    ],
)
def test_up_after_an_edit_restarts_what_it_concerns(world: World, edit: dict[str, object], restarted: set[str]) -> None:
    run_up(world.effects)
    world.files[SITE / ".env"] = write_env(**edit)
    assert set(run_up(world.effects).started) == restarted


def test_an_upgrade_of_the_gateway_s_own_source_restarts_it(world: World) -> None:
    """Its folder is the same after 'git pull' in a checkout; in containers the image has another name."""
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME="process")
    run_up(world.effects)
    upgraded = replace(world.effects, files=override(world.effects.files, hash_folder=lambda path: "another"))
    assert run_up(upgraded).started == ("api-gateway",)


def lose_image(world: World) -> None:
    world.runtimes["compose"].failures["prepare"] = ImageUnavailable("No image.\ntail of the pull", "load it")


def test_without_its_images_auto_goes_on_as_processes_and_says_so(world: World) -> None:
    lose_image(world)
    result = run_up(world.effects)
    assert list(world.runtimes["process"].states) == [name for name in SERVICES if name != "ingress"]
    assert result.report.runtime == "process"
    (warning,) = result.warnings
    assert warning.message.startswith("No image.; so the stack runs as processes")
    assert "tail of the pull" in warning.message, "the cause is shown, too"
    assert run_up(world.effects).started == (), "a second up changes nothing"
    assert run_down(world.effects)
    assert world.running == []


def test_without_its_images_compose_does_not_become_something_else(world: World) -> None:
    world.environment["STACK_RUNTIME"] = "compose"
    lose_image(world)
    assert isinstance(raised_by(lambda: run_up(world.effects)), ImageUnavailable)
    assert world.running == []


def test_without_docker_auto_takes_processes(world: World) -> None:
    world.host = Host()
    assert run_up(world.effects).report.runtime == "process"


def test_who_may_not_use_docker_is_told_how_from_up(world: World) -> None:
    """In 'auto' the stack runs as processes then, and nobody would learn that containers are a group away."""
    problem = "permission denied while trying to connect to the Docker daemon socket"
    world.host = Host(docker=DockerFacts("28.2.2", problem=problem, compose_version="2.40.3"))
    (warning,) = run_up(world.effects).warnings
    assert "docker group" in warning.hint
    assert problem in warning.message


@pytest.mark.parametrize("job", [lambda world: run_up(world.effects).running.plan, lambda world: world.effects])
def test_no_secret_is_in_a_representation(world: World, job: Callable[[World], object]) -> None:
    """A representation ends in tracebacks and logs."""
    world.files[SITE / ".env"] = write_env(OPENAI_API_KEY="planted-openai")
    world.files[SITE / "stack.yml"] = (
        "providers: {o: {kind: openai, api_key: OPENAI_API_KEY, models: {gpt: {model: m}}}}"
    )
    plan = run_up(world.effects).running
    assert "planted" not in repr(plan)
    assert "planted" not in repr(plan.plan)
    assert plan.plan.secrets["api-gateway"]["OPENAI_API_KEY"] == "planted-openai"


def test_up_never_asks_a_provider(world: World) -> None:
    world.files[SITE / "stack.yml"] = (
        "providers: {o: {kind: openai, api_base: 'http://o/v1', models: {gpt: {model: gpt-4o}}}}"
    )
    run_up(world.effects)
    assert [request for request in world.requests if "gpt" in request] == []


def test_progress_names_what_is_not_ready(world: World) -> None:
    runtime = world.runtimes["compose"]
    runtime.unready = {"inference-chat"}

    def become_ready() -> None:
        if world.now > 2:
            runtime.unready = set()

    world.on_sleep = become_ready
    run_up(world.effects)
    assert "waiting for inference-chat" in world.reports
    assert not any("api-gateway" in line for line in world.reports if line.startswith("waiting"))
