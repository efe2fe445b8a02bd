"""Commands about a stack that was started: down, restart, status, health, logs, models, chat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from stackctl.core.health.probes import Status
from stackctl.core.stack.runtime import Answer, Phase, ServiceState
from stackctl.errors import ConfigError, NotRunning, UnhealthyError
from stackctl.operations.look.chat import ask
from stackctl.operations.look.health import check_health
from stackctl.operations.look.listed_models import list_models
from stackctl.operations.look.status import load_logs, load_status
from stackctl.operations.run.down import run_down, run_restart
from stackctl.operations.run.leftovers import check_start
from stackctl.operations.run.up import run_up
from stackctl.operations.site.running import load_running
from stackctl.operations.site.state import load_state
from tests.fakes import SITE, World, override, raised_by, write_env
from tests.operations.run.services import SERVICES


@pytest.fixture
def up(world: World) -> World:
    run_up(world.effects)
    world.requests.clear()
    return world


def test_down_stops_everything_and_forgets_it(up: World) -> None:
    assert run_down(up.effects)
    assert up.running == []
    assert load_state(up.effects.files, up.effects.paths) is None
    assert not run_down(up.effects)


def test_down_without_a_state_ends_what_it_finds(up: World) -> None:
    del up.files[SITE / ".stack" / "state.json"]
    (remark,) = check_start(up.effects)
    assert "left processes behind: 100, 101, 102" in remark.message
    assert "stackctl down" in remark.hint
    assert run_down(up.effects)
    assert up.running == []
    assert check_start(up.effects) == ()


def move(world: World, site: Path, *, copies: bool = False) -> None:
    """Move or copy the site's files, as a file manager does, while its stack runs."""
    before = dict(world.files)
    world.files = {site / path.relative_to(world.site): text for path, text in before.items()}
    world.files |= before if copies else {}
    world.site = site


def test_a_moved_site_is_recognised(up: World) -> None:
    move(up, Path("/moved"))
    found = load_status(up.effects)
    assert found is not None
    assert [service.name for service in found.services] == SERVICES
    (remark,) = check_start(up.effects)
    assert f"moved here from {SITE}" in remark.message
    assert "stackctl up" in remark.hint
    assert f"moved here from {SITE}" in raised_by(lambda: run_restart(up.effects, ())).message
    up.runtimes["compose"].calls.clear()
    assert list(run_up(up.effects).started) == SERVICES
    assert up.runtimes["compose"].calls == ["prepare", "stop", "start"]
    assert f"the site was moved here from {SITE}: its services start again" in up.reports
    assert check_start(up.effects) == ()
    assert run_up(up.effects).started == ()


def test_down_ends_the_stack_of_a_moved_site(up: World) -> None:
    move(up, Path("/moved"))
    assert run_down(up.effects)
    assert up.running == []


def test_a_copy_of_a_running_site_has_started_nothing(up: World) -> None:
    move(up, Path("/copy"), copies=True)
    assert load_state(up.effects.files, up.effects.paths) is None
    assert load_status(up.effects) is None


@pytest.mark.parametrize(
    ("file", "text"), [(".env", "NONSENSE=1\n"), (".env", write_env(CHAT_MODEL="x.gguf")), ("stack.yml", "models: [")]
)
def test_down_works_whatever_the_files_say_now(up: World, file: str, text: str) -> None:
    up.files[SITE / file] = text
    up.broken_models[SITE / "models" / "x.gguf"] = ()
    assert run_down(up.effects)
    assert up.running == []


@pytest.mark.parametrize(
    "job",
    [
        lambda effects: run_restart(effects, ()),
        lambda effects: load_running(effects),
        lambda effects: load_logs(effects, (), 10),
    ],
)
def test_without_a_started_stack_the_next_step_is_up(world: World, job: Callable[[object], object]) -> None:
    error = raised_by(lambda: job(world.effects))
    assert isinstance(error, NotRunning)
    assert "not running" in error.message
    assert error.hint == "run 'stackctl up'"
    assert load_status(world.effects) is None


@pytest.mark.parametrize("job", [lambda e: run_restart(e, ("gateway",)), lambda e: load_logs(e, ("gateway",), 9)])
def test_an_unknown_service_names_the_nearest(up: World, job: Callable[[object], object]) -> None:
    error = raised_by(lambda: job(up.effects))
    assert error.message == "'gateway' is no service of this stack."
    assert error.hint == "did you mean 'api-gateway'?"


def test_restart_waits_until_the_stack_is_healthy(up: World) -> None:
    assert run_restart(up.effects, ("api-gateway",)).status == "ok"
    assert up.runtimes["compose"].calls[-1] == "restart"
    up.runtimes["compose"].unready = {"inference-chat"}
    assert isinstance(raised_by(lambda: run_restart(up.effects, (), wait_timeout_s=3)), UnhealthyError)
    assert up.running == SERVICES, "a restart that does not get healthy stops nothing"


def test_status_shows_what_the_runtime_says(up: World) -> None:
    up.runtimes["compose"].states["api-gateway"] = ServiceState("api-gateway", Phase.FAILED, "exited with code 137")
    status = load_status(up.effects)
    assert status is not None
    assert [(item.name, item.phase.value) for item in status.services] == [
        ("inference-chat", "running"),
        ("inference-embed", "running"),
        ("ingress", "running"),
        ("api-gateway", "failed"),
    ]


def test_health_asks_every_layer(up: World) -> None:
    report = check_health(up.effects, load_running(up.effects))
    layers = [
        (item.layer, item.status.value) for item in report.results if item.subject in ("local-chat", "inference-chat")
    ]
    assert layers == [
        (layer, "ok")
        for layer in ("service", "port", "engine", "model", "context", "gpu", "route", "completion", "stream")
    ]


def test_a_stream_that_fails_is_a_failure_although_whole_answers_come(up: World) -> None:
    """After an engine got another address, streams failed for five minutes and health was green."""
    whole = up.effects.network.fetch

    def fetch(url: str, **options: Any) -> Answer:
        if (options.get("body") or {}).get("stream"):
            return Answer(503, '{"error": {"message": "Cannot connect to host inference-chat:8001"}}')
        return whole(url, **options)

    effects = replace(up.effects, network=override(up.effects.network, fetch=fetch))
    report = check_health(effects, load_running(effects))
    found = {(item.layer, item.subject): item for item in report.results}
    assert found["completion", "local-chat"].status == "ok"
    stream = found["stream", "local-chat"]
    assert (report.status, stream.status) == ("failed", "failed")
    assert "503: 'Cannot connect to host inference-chat:8001'" in stream.detail
    assert stream.hint == "run 'stackctl restart api-gateway'"


@pytest.mark.parametrize(
    ("service", "unasked"),
    [("inference-chat", {"local-chat"}), ("api-gateway", {"local-chat", "local-embed"})],
)
def test_a_model_behind_a_silent_service_is_not_asked(up: World, service: str, unasked: set[str]) -> None:
    """An answer may take a minute: a frozen engine or gateway must not hold up the report that long."""
    del up.runtimes["compose"].states[service]
    report = check_health(up.effects, load_running(up.effects))
    skipped = {r.subject: r.detail for r in report.results if r.layer in ("completion", "embeddings", "stream")}
    assert {name for name, detail in skipped.items() if "not asked" in detail} == unasked
    asked = {request.split()[1] for request in up.requests if " " in request}
    assert asked == {"local-chat", "local-embed"} - unasked


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"GATEWAY_EMBEDDINGS": "false"}, "switched off by GATEWAY_EMBEDDINGS"),
        ({"MYCODER_DISABLE_EMBEDDINGS": 1}, "switched off by GATEWAY_EMBEDDINGS"),
        ({"GATEWAY_FORMATS": "chat,messages"}, "left out of GATEWAY_FORMATS: embeddings"),
    ],
)
def test_what_the_gateway_is_to_refuse_is_not_asked_for(world: World, setting: dict[str, object], reason: str) -> None:
    world.files[SITE / ".env"] = write_env(**setting)
    run_up(world.effects)
    report = check_health(world.effects, load_running(world.effects))
    (result,) = (result for result in report.results if result.layer == "embeddings")
    assert (result.status, result.detail) == (Status.OK, f"not asked: {reason}")
    assert "/v1/embeddings local-embed" not in world.requests
    assert "/v1/chat/completions local-chat" in world.requests


def test_free_probes_ask_no_model_for_an_answer(up: World) -> None:
    report = check_health(up.effects, load_running(up.effects), answers=False)
    assert sorted(up.requests) == ["/health", "/health/readiness", "/v1/models"]
    assert report.status == "ok"


def test_an_interruption_waits_for_no_answer(up: World) -> None:
    runtime, answers = up.runtimes["compose"], Event()
    ended: list[str] = []

    def interrupt(*arguments: object) -> Answer:
        raise KeyboardInterrupt

    def wait(url: str, **options: Any) -> Answer:
        answers.wait(30)
        ended.append(url)
        return Answer(200)

    runtime.fetch = interrupt  # type: ignore[method-assign, assignment]
    effects = replace(up.effects, network=override(up.effects.network, fetch=wait))
    try:
        with pytest.raises(KeyboardInterrupt):
            check_health(effects, load_running(up.effects))
        assert ended == []
    finally:
        answers.set()


@pytest.mark.parametrize(
    ("dead", "layer", "status"),
    [
        ("inference-chat", "port", "failed"),
        ("inference-chat", "engine", "skipped"),
        ("api-gateway", "gateway", "skipped"),
    ],
)
def test_a_dead_service_fails_at_its_own_layer(up: World, dead: str, layer: str, status: str) -> None:
    del up.runtimes["compose"].states[dead]
    report = check_health(up.effects, load_running(up.effects))
    found = {(item.layer, item.subject): item.status.value for item in report.results}
    assert found[("service", dead)] == "failed"
    assert found[(layer, dead)] == status
    assert report.status == "failed"


def test_a_loading_engine_is_loading_and_not_dead(up: World) -> None:
    up.runtimes["compose"].unready = {"inference-chat"}
    report = check_health(up.effects, load_running(up.effects), answers=False)
    assert report.status == "loading"
    assert "failed" not in {item.status.value for item in report.results}


def test_models_are_joined_with_what_the_gateway_lists(up: World) -> None:
    rows = {row.served_name: row for row in list_models(up.effects)}
    assert set(rows) == {"local-chat", "local-embed"}
    chat = rows["local-chat"]
    assert (chat.listed, chat.file, chat.context_length, chat.slots, chat.note) == (
        True,
        "demo.gguf",
        2048,
        4,
        "demo model, this model cannot call tools",
    )
    run_down(up.effects)
    assert [row.listed for row in list_models(up.effects)] == [False, False]


def test_logs_are_those_of_the_services_asked_for(up: World) -> None:
    up.runtimes["compose"].log = "a line"
    assert load_logs(up.effects, ("api-gateway",), 9) == {"api-gateway": "a line"}
    assert sorted(load_logs(up.effects, (), 9)) == sorted(SERVICES)


def test_chat_gives_the_answer_piece_by_piece(up: World) -> None:
    pieces = ask(up.effects, "ping", model="local-chat", system="", max_tokens=5, temperature=0)
    assert [(piece.text, piece.tokens) for piece in pieces] == [("po", 0), ("ng", 0), ("", 2)]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("local-cha", "did you mean 'local-chat'?"),
        ("LOCAL-EMBED", "did you mean 'local-embed'?"),
        ("gpt-9", "served are: local-chat, local-embed"),
    ],
)
def test_a_model_that_is_not_served_is_refused_with_the_nearest(up: World, name: str, hint: str) -> None:
    error = raised_by(lambda: ask(up.effects, "ping", model=name, system="", max_tokens=None, temperature=None))
    assert (error.exit_code, error.hint) == (3, hint)


def test_an_unknown_service_is_bad_input(up: World) -> None:
    assert raised_by(lambda: load_logs(up.effects, ("api-gatway",), 9)).exit_code == 3


def test_what_needs_a_running_stack_is_not_healthy_where_there_is_none(world: World) -> None:
    assert raised_by(lambda: load_running(world.effects)).exit_code == 6
    assert raised_by(lambda: load_logs(world.effects, (), 9)).exit_code == 6
    assert raised_by(lambda: run_restart(world.effects, ())).exit_code == 6


def test_an_empty_question_is_refused(up: World) -> None:
    assert isinstance(
        raised_by(lambda: ask(up.effects, " \n", model="m", system="", max_tokens=None, temperature=None)), ConfigError
    )
