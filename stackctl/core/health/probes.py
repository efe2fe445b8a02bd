"""Layered health: what each answer of a service says, judged to results; and the report they make. Pure.

Layers, from the bottom: service, port, app, engine, model, context, gpu, gateway, route, completion, stream,
embeddings, rerank.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from stackctl.core.stack.runtime import Answer, Phase, ServiceState

if TYPE_CHECKING:
    from stackctl.core.models.served import ServedModel

# How supervisor calls a death by the one signal that no program hears.
_KILLED: Final = "terminated by SIGKILL"
# From the bottom up: a layer that fails explains those above it.
LAYER_ORDER: Final = (
    "service",
    "port",
    "app",
    "engine",
    "model",
    "context",
    "gpu",
    "gateway",
    "state",
    "route",
    "completion",
    "stream",
    "embeddings",
    "rerank",
)


class Status(StrEnum):
    """What one probe came to.

    ``warning``: works, but not as well or not as surely as it should; ``loading``: not ready yet; ``skipped``: not
    asked, because a lower layer failed.
    """

    OK = "ok"
    WARNING = "warning"
    LOADING = "loading"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one probe found.

    Attributes:
        subject: name of a service or of a served model.
        detail: what was seen, and what was expected if it was not that.
        hint: one next step when it failed.
    """

    layer: str
    subject: str
    status: Status
    detail: str = ""
    hint: str = ""
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The results of all probes, in the layers' order.

    Attributes:
        runtime: runtime that the services are in.
        device: what the models run on, in words.
        notice: what is no fault and still to be done: a release that was loaded and does not run yet.
    """

    runtime: str
    device: str
    results: tuple[ProbeResult, ...]
    notice: str = ""

    @property
    def status(self) -> Status:
        """Failed if anything failed, else loading if anything loads, else ok: a warning stops nobody."""
        seen = {result.status for result in self.results}
        return next((s for s in (Status.FAILED, Status.LOADING) if s in seen), Status.OK)


def judge_service(name: str, state: ServiceState | None) -> ProbeResult:
    """Judge what the runtime says of a service."""
    if state is None:
        return ProbeResult("service", name, Status.FAILED, "not started", "run 'stackctl up'")
    notes = [f"up {write_duration(state.uptime_s)}"] if state.uptime_s else []
    notes += [state.detail] if state.detail else []
    notes += [f"restarted {state.restarts} time{'s' if state.restarts > 1 else ''}"] if state.restarts else []
    is_started = state.phase in (Phase.RUNNING, Phase.STARTING)  # whether it is ready, the layers above say
    detail = ", ".join([Phase.RUNNING.value if is_started else state.phase.value, *notes])
    if is_started:
        return ProbeResult("service", name, Status.OK, detail)
    hint = "run 'stackctl up'" if state.phase is Phase.PAUSED else f"run 'stackctl logs {name}'"
    if _KILLED in state.detail:  # its log says nothing of that
        hint = "run 'stackctl doctor': the kernel kills what finds no memory left"
    return ProbeResult("service", name, Status.FAILED, detail, hint)


def judge_port(name: str, port: int, answer: Answer, state: ServiceState | None, silent_s: float = 0.0) -> ProbeResult:
    """Judge whether anything answers on the service's port; a process that has just started may not listen yet.

    Args:
        silent_s: seconds that the service may run before it listens: vLLM does so when its model is loaded.
    """
    if answer.status:
        return ProbeResult("port", name, Status.OK, f"{port} answers", elapsed_s=answer.elapsed_s)
    young = state is not None and (
        state.phase is Phase.STARTING or (state.phase is Phase.RUNNING and state.uptime_s < silent_s)
    )
    status = Status.LOADING if young else Status.FAILED
    detail = f"{port}: {'not yet: ' if young else ''}{answer.error}"
    return ProbeResult("port", name, status, detail, "" if young else f"run 'stackctl logs {name}'", answer.elapsed_s)


def judge_engine(name: str, answer: Answer, progress: float | None = None) -> ProbeResult:
    """Judge the engine's readiness; llama.cpp answers 503 while it loads the model: alive, not dead."""
    share = f", {progress:.0%}" if progress is not None else ""
    return _judge_readiness("engine", name, "/health", answer, f"loading the model{share}")


def judge_gateway(name: str, answer: Answer) -> ProbeResult:
    """Judge the gateway's readiness."""
    return _judge_readiness("gateway", name, "readiness", answer, "starting")


def judge_app(name: str, answer: Answer, state: ServiceState | None) -> ProbeResult:
    """Judge what the service of an app was asked; one that has just started may not answer yet."""
    if answer.status == 200:
        return ProbeResult("app", name, Status.OK, answer.body, elapsed_s=answer.elapsed_s)
    if state is not None and state.phase is Phase.STARTING:
        return ProbeResult("app", name, Status.LOADING, f"not yet: {answer.error}", elapsed_s=answer.elapsed_s)
    return ProbeResult("app", name, Status.FAILED, answer.error, f"run 'stackctl logs {name}'", answer.elapsed_s)


def _judge_readiness(layer: str, name: str, asked: str, answer: Answer, loading: str) -> ProbeResult:
    """Judge what a service says of itself: 200 is ready, 503 is not yet.

    Args:
        asked: the question that was answered, in words.
        loading: what the service does before it is ready.
    """
    if answer.status == 200:
        return ProbeResult(layer, name, Status.OK, "ready", elapsed_s=answer.elapsed_s)
    if answer.status == 503:
        return ProbeResult(layer, name, Status.LOADING, loading, elapsed_s=answer.elapsed_s)
    if not answer.status:
        return ProbeResult(layer, name, Status.SKIPPED, "its port does not answer")
    seen = f"{asked} answered {answer.status}; expected 200"
    return ProbeResult(layer, name, Status.FAILED, seen, f"run 'stackctl logs {name}'", answer.elapsed_s)


def judge_model(model: ServedModel, answer: Answer) -> tuple[ProbeResult, ProbeResult]:
    """Judge what the engine says (``/props``) of its file and its context per slot, against what was configured."""
    name = model.served_name
    props = read_json(answer) if answer.status == 200 else None
    if props is not None:
        return _judge_file(model, props, answer.elapsed_s), _judge_context(model, props)
    if answer.status == 503:
        status, detail = Status.LOADING, "the model is loading"
    else:
        status, detail = Status.SKIPPED, f"/props did not answer ({answer.error or answer.status})"
    return ProbeResult("model", name, status, detail), ProbeResult("context", name, status, detail)


def _judge_file(model: ServedModel, props: Mapping[str, Any], elapsed_s: float) -> ProbeResult:
    loaded = PurePosixPath(str(props.get("model_path", ""))).name
    wanted = PurePosixPath(model.path).name
    if loaded == wanted:
        return ProbeResult("model", model.served_name, Status.OK, loaded, elapsed_s=elapsed_s)
    detail = f"{loaded or 'no file'} is loaded; configured is {wanted}"
    return ProbeResult("model", model.served_name, Status.FAILED, detail, _restart(model), elapsed_s)


def _judge_context(model: ServedModel, props: Mapping[str, Any]) -> ProbeResult:
    settings = props.get("default_generation_settings")
    context = settings.get("n_ctx") if isinstance(settings, Mapping) else None
    slots = props.get("total_slots")
    seen = f"{context} tokens x {slots} slots"
    if context == model.context_length and slots == model.slots:
        return ProbeResult("context", model.served_name, Status.OK, seen)
    detail = f"{seen}; configured is {model.context_length} x {model.slots}"
    return ProbeResult("context", model.served_name, Status.FAILED, detail, _restart(model))


def _restart(model: ServedModel) -> str:
    return f"run 'stackctl restart {model.service}'"


def judge_replaced(result: ProbeResult, replaced: str) -> ProbeResult:
    """Fail a model whose file is no longer the one that was loaded.

    Args:
        replaced: name of the file that lies in the place of the loaded one; empty for none.
    """
    if result.layer != "model" or result.status is not Status.OK or not replaced:
        return result
    detail = f"{replaced} is another file than the one that was loaded"
    return replace(result, status=Status.FAILED, detail=detail, hint="run 'stackctl up'")


def judge_route(served_name: str, answer: Answer) -> ProbeResult:
    """Judge whether the gateway lists the model, asked with the clients' own key."""
    if not answer.status:
        return ProbeResult("route", served_name, Status.SKIPPED, "the gateway does not answer")
    if answer.status in (401, 403):
        return ProbeResult(
            "route",
            served_name,
            Status.FAILED,
            f"GATEWAY_KEY was refused ({answer.status})",
            "another program may hold the port, or run 'stackctl up' after a changed key",
        )
    names = list_model_names(answer)
    if served_name in names:
        return ProbeResult("route", served_name, Status.OK, "listed", elapsed_s=answer.elapsed_s)
    return ProbeResult(
        "route",
        served_name,
        Status.FAILED,
        f"not listed; listed are: {', '.join(names) or 'none'}",
        "run 'stackctl up'",
        answer.elapsed_s,
    )


def list_model_names(answer: Answer) -> list[str]:
    """Ids of an OpenAI-style model list; empty when the answer is none."""
    body = read_json(answer)
    items = body.get("data") if body else None
    return [] if not isinstance(items, list) else [str(item.get("id")) for item in items if isinstance(item, Mapping)]


def write_duration(seconds: float) -> str:
    """A duration as people say it: ``8 s``, ``12 min``, ``3 h``, ``5 d``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def sort_results(results: Iterable[ProbeResult]) -> tuple[ProbeResult, ...]:
    """Results from the bottom layer up, names in order within one."""
    return tuple(sorted(results, key=lambda result: (LAYER_ORDER.index(result.layer), result.subject)))


def read_json(answer: Answer) -> dict[str, Any] | None:
    """The body as a JSON object; ``None`` when it is none."""
    try:
        value = json.loads(answer.body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
