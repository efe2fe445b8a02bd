"""Health: ask every layer of every service side by side, and report what each answer says.

In: a ``Running`` stack. Out: a ``HealthReport``. Does I/O through its effects: asks services and the runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from stackctl.core.apps.app import AppService
from stackctl.core.health.answers import build_question, judge_answer, judge_stream, list_busy, list_off, list_unasked
from stackctl.core.health.gateway_state import judge_state
from stackctl.core.health.gpu_proof import GpuFacts, judge_gpu
from stackctl.core.health.probes import (
    HealthReport,
    ProbeResult,
    Status,
    judge_app,
    judge_engine,
    judge_gateway,
    judge_model,
    judge_port,
    judge_replaced,
    judge_route,
    judge_service,
    sort_results,
)
from stackctl.core.health.vllm_answers import judge_vllm_gpu, judge_vllm_model
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.stack.runtime import Answer, ServiceState, StartPlan
from stackctl.core.stack.stack import Service
from stackctl.operations.effects import Effects, Machine, Runtime
from stackctl.operations.engine.gpu_proofs import Engine, keep_proof
from stackctl.operations.engine.loaded_files import find_replaced
from stackctl.operations.site.running import Running

PROBE_TIMEOUT_S = 5.0
COMPLETION_TIMEOUT_S = 60.0
# Of llama.cpp; another engine answers 404, which also shows that it listens.
ENGINE_SLOTS_PATH = "/slots"

# A smaller model is loaded before a share of it would mean anything beside the program's own memory.
PROGRESS_BYTES = 1 << 30

Results = tuple[ProbeResult, ...]


@dataclass(frozen=True, slots=True)
class _Asker:
    """What every probe is asked with."""

    effects: Effects
    runtime: Runtime
    plan: StartPlan
    states: Mapping[str, ServiceState]
    known: tuple[str, str]

    @property
    def gateway_url(self) -> str:
        """Base URL of the gateway."""
        return find_gateway_url(self.plan.stack.settings)


def check_health(effects: Effects, running: Running, *, answers: bool = True) -> HealthReport:
    """Run every free probe at the same time, then ask the models that can be asked.

    Args:
        answers: whether to ask each local model for a real answer too; never a provider's, which may cost money.
    """
    runtime, plan = running.runtime, running.plan
    asker = _Asker(effects, runtime, plan, runtime.list_states(), running.known_answer)
    services = tuple(judge_service(service.name, asker.states.get(service.name)) for service in plan.services)
    free = _run_jobs([job for service in plan.services for job in _list_jobs(asker, service)])
    asked = [service for service in plan.services if service.model and answers]
    given = _run_jobs([partial(_probe_answer, asker, service, free) for service in asked])
    return HealthReport(runtime.name, running.device, sort_results([*services, *free, *given]), running.successor)


def _run_jobs(jobs: Sequence[Callable[[], Results]]) -> Results:
    """Run all jobs at once; an interruption waits for none of them."""
    pool = ThreadPoolExecutor(max(len(jobs), 1))
    try:
        return tuple(result for job in [pool.submit(job) for job in jobs] for result in job.result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _list_jobs(asker: _Asker, service: Service) -> list[Callable[[], Results]]:
    model, app = service.model, service.app
    if app:
        return [lambda: (_probe_app(asker, service, app),)]
    if not service.health_path:
        return []
    if model is None:
        names = [route.name for route in asker.plan.stack.gateway.routes]
        return [
            lambda: _probe_gateway(asker, service),
            lambda: _probe_state(asker, service),
            lambda: _probe_routes(asker, tuple(names)),
        ]
    return [
        lambda: _probe_engine(asker, service),
        lambda: _probe_model(asker, service, model),
        lambda: _probe_gpu(asker, service, model),
    ]


def _probe_app(asker: _Asker, service: Service, app: AppService) -> ProbeResult:
    answer = asker.runtime.probe(service, app, asker.plan.secrets[service.name], PROBE_TIMEOUT_S)
    return judge_app(service.name, answer, asker.states.get(service.name))


def _probe_engine(asker: _Asker, service: Service) -> Results:
    answer = _ask_engine(asker, service, service.health_path)
    state = asker.states.get(service.name)
    progress = load_progress(asker.effects.machine, service, state) if answer.status == 503 else None
    silent_s = service.ready_timeout_s if service.model and service.model.is_vllm else 0.0
    port = judge_port(service.name, service.port, answer, state, silent_s)
    return port, judge_engine(service.name, answer, progress)


def _probe_model(asker: _Asker, service: Service, model: ServedModel) -> Results:
    answer = _ask_engine(asker, service, asker.plan.stack.find_engine(model).props_path)
    results = judge_vllm_model(model, answer) if model.is_vllm else judge_model(model, answer)
    replaced = find_replaced(asker.effects, service, asker.states.get(service.name))
    return tuple(judge_replaced(result, replaced) for result in results)


def _probe_gpu(asker: _Asker, service: Service, model: ServedModel) -> Results:
    expected = asker.plan.gpu
    if (expected == "none" or model.gpu_layers == 0) and not model.is_vllm:
        return (ProbeResult("gpu", model.served_name, Status.OK, "runs on the CPU; no GPU is expected"),)
    state = asker.states.get(service.name)
    if state is None or not state.start:
        return (ProbeResult("gpu", model.served_name, Status.SKIPPED, "the engine does not run"),)
    answer = _ask_engine(asker, service, service.health_path)
    if answer.status != 200:
        status = Status.LOADING if answer.status == 503 else Status.SKIPPED
        return (ProbeResult("gpu", model.served_name, status, "the engine is not ready"),)
    problem = asker.runtime.explain_lost_gpu(service.name) if expected == "nvidia" else ""
    if model.is_vllm:
        memory = asker.effects.machine.load_gpu_memory().gather(state.pid, asker.effects.machine.list_ancestors)
        return (judge_vllm_gpu(model, GpuFacts(None, None, memory, state.pid, problem), expected),)
    facts = keep_proof(asker.effects, Engine(asker.runtime, service, state, expected))
    return (judge_gpu(model.served_name, service.name, replace(facts, container_problem=problem)),)


def _probe_gateway(asker: _Asker, service: Service) -> Results:
    answer = asker.effects.network.fetch(f"{asker.gateway_url}{service.health_path}", timeout_s=PROBE_TIMEOUT_S)
    state = asker.states.get(service.name)
    return judge_port(service.name, service.port, answer, state), judge_gateway(service.name, answer)


def _probe_state(asker: _Asker, service: Service) -> Results:
    key = asker.plan.variables["GATEWAY_ADMIN_KEY"]
    answer = asker.effects.network.fetch(f"{asker.gateway_url}/health", key=key, timeout_s=PROBE_TIMEOUT_S)
    return judge_state(service.name, answer)


def _probe_routes(asker: _Asker, names: tuple[str, ...]) -> Results:
    key = asker.plan.variables["GATEWAY_KEY"]
    answer = asker.effects.network.fetch(f"{asker.gateway_url}/v1/models", key=key, timeout_s=PROBE_TIMEOUT_S)
    return tuple(judge_route(name, answer) for name in names)


def _probe_answer(asker: _Asker, service: Service, lower: Results) -> Results:
    """Ask for one whole answer and, after it, one as a stream: an engine may have a single slot."""
    model = service.model
    assert model is not None
    if unasked := list_off(model, asker.plan.stack.gateway) or list_unasked(model, lower):
        return unasked
    key = asker.plan.variables["GATEWAY_KEY"]
    health = asker.effects.network.fetch(f"{asker.gateway_url}/health", key=key, timeout_s=PROBE_TIMEOUT_S)
    if busy := list_busy(model, health, _ask_engine(asker, service, ENGINE_SLOTS_PATH)):
        return busy
    question, known_answer = asker.known
    path, body = build_question(model, question)
    answered = judge_answer(model, _ask_gateway(asker, path, body), known_answer)
    if model.mode != "chat":
        return (answered,)
    if answered.status is not Status.OK:
        return answered, ProbeResult("stream", model.served_name, Status.SKIPPED, "not asked: no whole answer came")
    return answered, judge_stream(model, _ask_gateway(asker, path, {**body, "stream": True}), known_answer)


def _ask_gateway(asker: _Asker, path: str, body: Mapping[str, Any]) -> Answer:
    key = asker.plan.variables["GATEWAY_KEY"]
    return asker.effects.network.fetch(f"{asker.gateway_url}{path}", key=key, timeout_s=COMPLETION_TIMEOUT_S, body=body)


def _ask_engine(asker: _Asker, service: Service, path: str) -> Answer:
    return asker.runtime.fetch(service, path, asker.plan.secrets[service.name], PROBE_TIMEOUT_S)


def load_progress(machine: Machine, service: Service, state: ServiceState | None) -> float | None:
    """Share of the model's bytes that its process has in memory: an estimate, ``None`` where it cannot be read.

    llama.cpp maps the file, so what is resident is what has been read; the share stays below 1 before it is ready.
    """
    if state is None or not state.pid or service.model is None or service.model.size_bytes < PROGRESS_BYTES:
        return None
    resident = machine.load_resident_bytes(state.pid)
    return None if resident is None else min(math.floor(100 * resident / service.model.size_bytes) / 100, 0.99)
