"""Wait until a started stack is healthy, or say at once why it will not be.

In: a ``Running`` stack and a deadline. Out: a ``HealthReport``, or an error with ends of logs. Does I/O through its
effects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackctl.core.health.probes import HealthReport, ProbeResult, Status
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.stack.runtime import Answer, Phase, ServiceState
from stackctl.core.stack.stack import Service
from stackctl.core.text.log_lines import write_log_line
from stackctl.errors import Finding, Severity, UnhealthyError
from stackctl.operations.effects import Effects, Network
from stackctl.operations.engine.gpu_proofs import Engine, keep_proof
from stackctl.operations.look.health import check_health, load_progress
from stackctl.operations.site.running import Running

POLL_S = 0.1
STATES_S = 1.0
ANSWER_S = 2.0
SECOND_LOOK_S = 2.0
LOG_LINES = 12
# Dying this often while it starts, a service will not come up by itself.
MOST_DEATHS = 3
# How C++ and Python say that no thread can be started any more.
_NO_THREAD = ("Resource temporarily unavailable", "can't start new thread")
_LOGS = "run 'stackctl logs "
_QUOTED = "the end of its log is above"


def wait_healthy(effects: Effects, running: Running, wait_timeout_s: float | None) -> HealthReport:
    """Wait for readiness with cheap probes, then ask everything; what fails is asked again before it is believed.

    Raises:
        UnhealthyError: names each service that is not ready, with the end of its log.
    """
    services = running.plan.services
    limit_s = wait_timeout_s if wait_timeout_s is not None else max(s.ready_timeout_s for s in services)
    deadline = effects.clock.monotonic() + limit_s
    _wait_ready(effects, running, deadline, limit_s)
    report = check_health(effects, running)
    while report.status is Status.LOADING and effects.clock.monotonic() < deadline:
        effects.clock.sleep(POLL_S)
        report = check_health(effects, running)
    if report.status is not Status.OK:
        # On a machine that is busy with the start itself, a probe may run out of its few seconds.
        effects.clock.sleep(SECOND_LOOK_S)
        report = check_health(effects, running)
    if report.status is not Status.OK:
        raise_unhealthy(running, report)
    return report


def _wait_ready(effects: Effects, running: Running, deadline: float, limit_s: float) -> None:
    """Ask only what is not ready yet, and the runtime now and then: each question takes CPU from what is starting."""
    waiting = tuple(service for service in running.plan.services if service.health_path or service.app)
    states = running.runtime.list_states()
    deaths_before = {name: state.restarts for name, state in states.items()}
    asked_at = effects.clock.monotonic()
    while True:
        answers = {service.name: _ask(effects.network, running, service) for service in waiting}
        _keep_proofs(effects, running, [service for service in waiting if answers[service.name].status == 200])
        waiting = tuple(service for service in waiting if answers[service.name].status != 200)
        if not waiting:
            return
        if effects.clock.monotonic() - asked_at >= STATES_S:
            states, asked_at = running.runtime.list_states(), effects.clock.monotonic()
            _refuse_failed(running, states, deaths_before)
        shown = [_describe(effects, service, states.get(service.name), answers[service.name]) for service in waiting]
        effects.terminal.report(f"waiting for {', '.join(shown)}")
        if effects.clock.monotonic() > deadline:
            names = [service.name for service in waiting]
            raise UnhealthyError(
                f"Not ready within {limit_s:.0f} s: {', '.join(names)}.{_quote_logs(running, names)}",
                "the log's end is above; give it longer with --wait-timeout, or run 'stackctl doctor'",
            )
        effects.clock.sleep(POLL_S)


def _keep_proofs(effects: Effects, running: Running, ready: Sequence[Service]) -> None:
    """Keep what an engine's log says of its GPU the moment it is ready: users fill that log from then on."""
    gpu = running.plan.gpu
    engines = [service for service in ready if service.model and _reads_log_for_gpu(service.model)]
    states = running.runtime.list_states() if engines and gpu != "none" else {}
    for service in engines:
        if (state := states.get(service.name)) and state.start:
            keep_proof(effects, Engine(running.runtime, service, state, gpu))


def _reads_log_for_gpu(model: ServedModel) -> bool:
    """Whether the model is for a GPU, and its engine's log says where it is: vLLM's does not."""
    return model.gpu_layers != 0 and not model.is_vllm


def raise_unhealthy(running: Running, report: HealthReport) -> None:
    """Turn a report that is not healthy into the error with all that is wrong.

    A stack that is stopped after that has no logs to look at, so the end of those that tell why is quoted.

    Raises:
        UnhealthyError: always.
    """
    bad = [result for result in report.results if result.status in (Status.FAILED, Status.LOADING)]
    told = tuple(dict.fromkeys(result.subject for result in bad if result.hint.startswith(_LOGS)))
    bad = [replace(item, hint=_QUOTED) if item.hint.startswith(_LOGS) else item for item in bad]
    findings = tuple(_to_finding(result) for result in bad)
    hint = next((finding.hint for finding in findings if finding.hint), "run 'stackctl doctor'")
    raise UnhealthyError(f"The stack is not healthy.{_quote_logs(running, told)}", hint, findings)


def list_warnings(report: HealthReport) -> tuple[Finding, ...]:
    """Findings for what works and deserves a look."""
    return tuple(_to_finding(item, Severity.WARNING) for item in report.results if item.status is Status.WARNING)


def _to_finding(result: ProbeResult, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(f"{result.layer} {result.subject}", result.detail, result.hint, severity)


def _ask(network: Network, running: Running, service: Service) -> Answer:
    if service.app:
        return running.runtime.probe(service, service.app, running.plan.secrets[service.name], ANSWER_S)
    if service.model is None:
        url = f"{find_gateway_url(running.plan.stack.settings)}{service.health_path}"
        return network.fetch(url, timeout_s=ANSWER_S)
    return running.runtime.fetch(service, service.health_path, running.plan.secrets[service.name], ANSWER_S)


def _describe(effects: Effects, service: Service, state: ServiceState | None, answer: Answer) -> str:
    """The service in words, with how much of its model is loaded where that is known."""
    share = load_progress(effects.machine, service, state) if answer.status == 503 else None
    return f"{service.name} ({share:.0%})" if share else service.name


def _refuse_failed(running: Running, states: Mapping[str, ServiceState], deaths_before: Mapping[str, int]) -> None:
    """Stop waiting for a service that its runtime has given up on or that keeps dying."""
    for name, state in states.items():
        deaths = state.restarts - deaths_before.get(name, 0)
        # While it is up for a moment, nobody says why it died: wait for the next look, but not for ever.
        is_down = state.phase not in (Phase.RUNNING, Phase.STARTING)
        if state.phase is Phase.FAILED or (deaths >= MOST_DEATHS and is_down) or deaths >= 2 * MOST_DEATHS:
            quoted = _quote_logs(running, [name])
            hint = "the log's end is above; 'stackctl doctor' checks memory and the model"
            if any(words in quoted for words in _NO_THREAD):
                hint = "raise the limit of processes, as threads are counted too: ulimit -u, docker run --pids-limit"
            raise UnhealthyError(f"{name} does not stay up: {state.phase}, {state.detail}.{quoted}", hint)


def _quote_logs(running: Running, names: Sequence[str]) -> str:
    parts = []
    for name in names:
        lines = map(write_log_line, running.runtime.read_log(name, LOG_LINES).splitlines())
        parts += [f"\n  last lines of {name}:", *(f"\n    {part}" for line in lines for part in line.split("\n"))]
    return "".join(parts)
