"""Judging services, ports, engines and routes: loading is not dead, and a wrong model is not healthy."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.core.health.probes import (
    HealthReport,
    ProbeResult,
    Status,
    judge_engine,
    judge_gateway,
    judge_model,
    judge_port,
    judge_route,
    judge_service,
    sort_results,
    write_duration,
)
from stackctl.core.health.supervisor_log import Deaths, describe_end
from stackctl.core.stack.runtime import Answer, Phase, ServiceState
from tests.unit.health.answers import CHAT, LOADING, REFUSED, answer


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        (Phase.RUNNING, Status.OK),
        (Phase.STARTING, Status.OK),
        (Phase.RESTARTING, Status.FAILED),
        (Phase.FAILED, Status.FAILED),
        (Phase.STOPPED, Status.FAILED),
        (Phase.PAUSED, Status.FAILED),
        (None, Status.FAILED),
    ],
)
def test_a_service_is_what_its_runtime_says(phase: Phase | None, status: Status) -> None:
    result = judge_service("s", None if phase is None else ServiceState("s", phase, "exited with code 137"))
    assert result.status is status
    assert bool(result.hint) is (status is Status.FAILED)


def test_a_killed_service_is_told_to_lack_memory() -> None:
    how = describe_end("Exited too quickly (process log may have details)", Deaths(1, "at noon, terminated by SIGKILL"))
    result = judge_service("s", ServiceState("s", Phase.RESTARTING, how))
    assert "died at noon, terminated by SIGKILL" in result.detail
    assert "no memory left" in result.hint
    assert describe_end("can't find command", Deaths(1, "at noon")) == "can't find command"
    assert describe_end("", None) == ""


def test_restarts_are_told() -> None:
    assert "restarted 3 times" in judge_service("s", ServiceState("s", Phase.RUNNING, restarts=3)).detail


@pytest.mark.parametrize(
    ("phase", "seen", "status"),
    [
        (Phase.RUNNING, Answer(404), Status.OK),
        (Phase.STARTING, REFUSED, Status.LOADING),
        (Phase.RUNNING, REFUSED, Status.FAILED),
        (None, REFUSED, Status.FAILED),
    ],
)
def test_a_port_that_is_silent_is_dead_unless_the_process_is_young(
    phase: Phase | None, seen: Answer, status: Status
) -> None:
    state = None if phase is None else ServiceState("s", phase)
    result = judge_port("s", 8001, seen, state)
    assert result.status is status
    assert "8001" in result.detail


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (Answer(200), Status.OK),
        (LOADING, Status.LOADING),
        (REFUSED, Status.SKIPPED),
        (Answer(500), Status.FAILED),
        (Answer(404), Status.FAILED),
    ],
)
def test_loading_is_not_dead_and_dead_is_not_loading(seen: Answer, status: Status) -> None:
    assert judge_engine("e", seen).status is status
    assert judge_gateway("g", seen).status is status


def test_the_share_that_is_loaded_is_shown() -> None:
    assert judge_engine("e", LOADING, 0.42).detail == "loading the model, 42%"


def build_props(path: str = "/models/m.gguf", context: object = 2048, slots: object = 4) -> dict[str, Any]:
    return {"model_path": path, "total_slots": slots, "default_generation_settings": {"n_ctx": context}}


@pytest.mark.parametrize(
    ("seen", "model", "context"),
    [
        (answer(build_props()), Status.OK, Status.OK),
        (answer(build_props("/elsewhere/m.gguf")), Status.OK, Status.OK),
        (answer(build_props("/models/other.gguf")), Status.FAILED, Status.OK),
        (answer(build_props(context=512)), Status.OK, Status.FAILED),
        (answer(build_props(slots=1)), Status.OK, Status.FAILED),
        (answer({}), Status.FAILED, Status.FAILED),
        (LOADING, Status.LOADING, Status.LOADING),
        (REFUSED, Status.SKIPPED, Status.SKIPPED),
    ],
)
def test_the_engine_must_have_loaded_what_was_configured(seen: Answer, model: Status, context: Status) -> None:
    assert [result.status for result in judge_model(CHAT, seen)] == [model, context]


def test_a_wrong_model_and_a_wrong_context_say_both_figures() -> None:
    model, context = judge_model(CHAT, answer(build_props("/x/other.gguf", 512)))
    assert model.detail == "other.gguf is loaded; configured is m.gguf"
    assert context.detail == "512 tokens x 4 slots; configured is 2048 x 4"
    assert model.hint == context.hint == "run 'stackctl restart inference-chat'"


@pytest.mark.parametrize(
    ("seen", "status", "words"),
    [
        (answer({"data": [{"id": "local-chat"}]}), Status.OK, "listed"),
        (answer({"data": [{"id": "other"}]}), Status.FAILED, "listed are: other"),
        (answer({"data": []}), Status.FAILED, "listed are: none"),
        (Answer(401), Status.FAILED, "GATEWAY_KEY was refused (401)"),
        (Answer(403), Status.FAILED, "GATEWAY_KEY was refused (403)"),
        (REFUSED, Status.SKIPPED, "does not answer"),
    ],
)
def test_the_gateway_must_list_the_model(seen: Answer, status: Status, words: str) -> None:
    result = judge_route("local-chat", seen)
    assert result.status is status
    assert words in result.detail


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["ok", "skipped"], "ok"),
        (["ok", "loading", "skipped"], "loading"),
        (["loading", "failed", "ok"], "failed"),
        ([], "ok"),
    ],
)
def test_the_report_is_as_bad_as_its_worst_result(statuses: list[str], status: str) -> None:
    results = tuple(ProbeResult("service", "s", Status(item)) for item in statuses)
    assert HealthReport("process", "CPU", results).status == status


def test_results_are_sorted_from_the_bottom_layer_up() -> None:
    results = [
        ProbeResult(layer, name, Status.OK) for layer, name in [("route", "b"), ("route", "a"), ("service", "z")]
    ]
    assert [(item.layer, item.subject) for item in sort_results(results)] == [
        ("service", "z"),
        ("route", "a"),
        ("route", "b"),
    ]


@pytest.mark.parametrize(("seconds", "text"), [(8, "8 s"), (720, "12 min"), (10_800, "3 h"), (432_000, "5 d")])
def test_a_duration_is_written_as_people_say_it(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text
