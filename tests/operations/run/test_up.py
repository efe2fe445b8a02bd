"""Bringing the stack up: twice, after edits, where something fails, and where it must refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from stackctl.core.machine.host import DockerFacts, Host, PortHolder
from stackctl.core.stack.runtime import Answer, Phase, ServiceState
from stackctl.errors import ConfigError, ImageUnavailable, RuntimeFailure, UnhealthyError
from stackctl.operations.run.down import run_down
from stackctl.operations.run.up import preview_up, run_up
from stackctl.operations.site.state import load_state
from tests.fakes import DOCKER, SITE, World, override, raised_by, write_env

SERVICES = ["inference-chat", "inference-embed", "ingress", "api-gateway"]


def test_up_starts_everything_and_proves_that_it_answers(world: World) -> None:
    result = run_up(world.effects)
    assert (list(result.started), world.running) == (SERVICES, SERVICES)
    assert result.report.status == "ok"
    proofs = {item.subject: item.layer for item in result.report.results if item.layer in ("completion", "embeddings")}
    assert proofs == {"local-chat": "completion", "local-embed": "embeddings"}


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
        ({"INFERENCE_SLOTS": 2}, {"inference-chat", "inference-embed"}),
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


@pytest.mark.parametrize(
    ("port", "setting", "runtime"),
    [(8000, "API_GATEWAY_PORT", "compose"), (8000, "API_GATEWAY_PORT", "process"), (8003, "INFERENCE_PORT", "process")],
)
def test_a_port_in_use_is_named_with_its_holder_and_its_setting(
    world: World, port: int, setting: str, runtime: str
) -> None:
    world.environment["STACK_RUNTIME"] = runtime
    world.host = Host(docker=DOCKER, ports={port: PortHolder(4711, "postgres")})
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert f"port {port} is in use by postgres (pid 4711)" in str(error)
    assert setting in error.hint
    assert world.runtimes[runtime].calls == []


def test_an_engine_port_of_a_container_is_not_the_machines(world: World) -> None:
    world.host = Host(docker=DOCKER, ports={8001: PortHolder(4711, "postgres")})
    assert run_up(world.effects).started


@pytest.mark.parametrize("holder", [102, 9000], ids=["the service itself", "a worker of it"])
def test_a_port_that_the_stack_itself_holds_is_not_in_use(world: World, holder: int) -> None:
    world.environment["STACK_RUNTIME"] = "process"
    run_up(world.effects)
    world.ancestors[9000] = (102, 1)
    world.host = Host(docker=DOCKER, ports={8000: PortHolder(holder, "python")})
    assert run_up(world.effects).started == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"STACK_RUNTIME": "process"}, ("compose runtime", "process")),
        ({"STACK_NAME": "another"}, ("ai-stack", "another")),
        ({"STACK_GPU": "nvidia"}, ("STACK_GPU=nvidia",)),
        ({"STACK_RUNTIME": "process", "BIND_ADDRESS": "0.0.0.0"}, ()),
    ],
)
def test_what_cannot_be_is_refused_and_touches_nothing(
    world: World, change: dict[str, str], words: tuple[str, ...]
) -> None:
    run_up(world.effects)
    calls = list(world.runtimes["compose"].calls)
    world.environment |= change
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert all(word in error.message for word in words)
    assert world.running == SERVICES
    assert world.runtimes["compose"].calls == calls


def test_a_process_listens_on_this_machine_only(world: World) -> None:
    world.environment |= {"STACK_RUNTIME": "process", "BIND_ADDRESS": "0.0.0.0"}
    error = raised_by(lambda: run_up(world.effects))
    assert "BIND_ADDRESS: is 0.0.0.0; the process runtime listens on loopback only" in str(error)


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


@pytest.mark.parametrize("name", ["GATEWAY_KEY", "GATEWAY_ADMIN_KEY", "INFERENCE_API_KEY"])
def test_an_unset_secret_stops_everything(world: World, name: str) -> None:
    world.files[SITE / ".env"] = write_env(**{name: ""})
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert f"{name}: is not set" in str(error)
    assert "stackctl init" in error.hint
    assert world.runtimes["compose"].calls == []


def test_a_dry_run_changes_nothing_and_says_what_would_happen(world: World) -> None:
    files = dict(world.files)
    preview = preview_up(world.effects)
    assert world.files == files
    assert world.runtimes["compose"].calls == []
    assert "+++ rendered/compose.p1.yml" in preview.difference
    assert preview.commands == ("start 4 services",)
    assert "planted" not in preview.difference
    run_up(world.effects)
    assert preview_up(world.effects).difference == ""


@pytest.mark.parametrize(("runtime", "other"), [("compose", "supervisord.p1.conf"), ("process", "compose.p1.yml")])
def test_a_dry_run_shows_the_files_of_the_runtime_that_is_meant_and_no_others(
    world: World, runtime: str, other: str
) -> None:
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME=runtime, STACK_GPU="none")
    preview = preview_up(world.effects)
    assert preview.runtime == runtime
    assert "config.p1.yaml" in preview.difference
    assert other not in preview.difference
    assert "compose.p1.gpu-" not in preview.difference


OVERRIDE = "services:\n  api-gateway:\n    labels: {team: one}\n"


@pytest.mark.parametrize("name", ["compose.override.yml", "docker-compose.override.yaml"])
def test_an_override_beside_the_site_is_started_from_and_shown(world: World, name: str) -> None:
    world.files[SITE / name] = OVERRIDE
    preview = preview_up(world.effects)
    assert "+++ rendered/compose.override.yml" in preview.difference
    assert "+    labels: {team: one}" in preview.difference
    assert run_up(world.effects).running.plan.override == OVERRIDE
    copy = SITE / ".stack" / "rendered" / "compose.override.yml"
    assert world.files[copy] == OVERRIDE
    assert preview_up(world.effects).difference == ""
    # One that is taken away is shown as gone, and is.
    del world.files[SITE / name]
    assert "-    labels: {team: one}" in preview_up(world.effects).difference
    assert run_up(world.effects).running.plan.override == ""
    assert copy not in world.files


def test_two_overrides_are_refused(world: World) -> None:
    world.files |= {SITE / "compose.override.yml": OVERRIDE, SITE / "compose.override.yaml": OVERRIDE}
    error = raised_by(lambda: preview_up(world.effects))
    assert error.exit_code == 3
    assert "compose.override.yml and compose.override.yaml" in error.message


def test_an_override_that_nothing_reads_is_said(world: World) -> None:
    world.files[SITE / "compose.override.yml"] = OVERRIDE
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME="process")
    for warnings in (preview_up(world.effects).warnings, run_up(world.effects).warnings):
        assert "compose.override.yml" in [finding.subject for finding in warnings]


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


def test_a_failure_while_waiting_names_no_secret(world: World) -> None:
    world.answers["/v1/models"] = Answer(401)
    error = raised_by(lambda: run_up(world.effects))
    assert "GATEWAY_KEY was refused (401)" in str(error)
    assert "planted" not in str(error)


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
