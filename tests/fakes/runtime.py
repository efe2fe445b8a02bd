"""A runtime that starts services in no time and remembers what was asked of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stackctl.core.apps.app import AppService
from stackctl.core.machine.host import RuntimeName
from stackctl.core.stack.runtime import Answer, CompletedCommand, Phase, ServiceState, StartPlan
from stackctl.core.stack.stack import Service
from stackctl.operations.effects import Report

NO_DATABASE: dict[str, Any] = {
    "status": 503,
    "body": {"error": {"code": "state_unavailable", "message": "There is no database."}},
}


@dataclass
class FakeRuntime:
    """A runtime that starts services in no time and remembers what was asked of it.

    Attributes:
        failures: method name to what it raises.
        unready: services that answer 503 for ever.
        calls: names of the changing methods, in order.
        start_logs: service to the first lines of its start.
        lost_gpu: what a container says that has lost its GPU.
        silent: services that do not listen on their port.
        engine_lists: what vLLM's list of models says instead of what is right.
        engine_answer: the answer that replaces that list.
        actions: what the gateway's program was asked to do while the gateway was stopped.
        action_answers: an action's name to the answer that the program prints.
        action_failure: what the program's command is instead.
    """

    name: RuntimeName
    failures: dict[str, BaseException] = field(default_factory=dict)
    unready: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    states: dict[str, ServiceState] = field(default_factory=dict)
    plan: StartPlan | None = None
    log: str = ""
    start_logs: dict[str, str] = field(default_factory=dict)
    lost_gpu: str = ""
    silent: set[str] = field(default_factory=set)
    engine_lists: dict[str, object] = field(default_factory=dict)
    engine_answer: Answer | None = None
    starts: int = 0
    leftovers: tuple[int, ...] = ()
    actions: list[dict[str, Any]] = field(default_factory=list)
    action_answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    action_failure: CompletedCommand | None = None

    def list_commands(self, plan: StartPlan) -> tuple[str, ...]:
        return (f"start {len(plan.services)} services",)

    def prepare(self, plan: StartPlan, report: Report) -> None:
        self._enter("prepare")

    def start(self, plan: StartPlan, report: Report) -> tuple[str, ...]:
        before = {} if self.plan is None else {s.name: self._mark(self.plan, s) for s in self.plan.services}
        self.plan = plan
        started = [s.name for s in plan.services if before.get(s.name) != self._mark(plan, s) or not self.states]
        for number, service in enumerate(plan.services):
            before_it = self.states.get(service.name)
            start = before_it.start if before_it and service.name not in started else self._count_start()
            self.states[service.name] = ServiceState(
                service.name, Phase.RUNNING, pid=100 + number, uptime_s=60, start=start
            )
        self._enter("start")
        return tuple(started)

    def administer(self, plan: StartPlan, action: str, report: Report) -> CompletedCommand:
        asked = json.loads(action)
        self.actions.append(asked)
        argv = ("python", "-m", "gateway.administer")
        printed = json.dumps(self.action_answers.get(asked["do"], NO_DATABASE))
        return self.action_failure or CompletedCommand(argv, 0, f"{printed}\n")

    def stop(self, report: Report) -> bool:
        self._enter("stop")
        was_running, self.states = bool(self.states), {}
        return was_running

    def restart(self, names: tuple[str, ...], report: Report) -> None:
        self._enter("restart")
        for service in names:
            self.states[service] = replace(self.states[service], start=self._count_start(), uptime_s=1.0)

    def list_leftovers(self) -> tuple[int, ...]:
        return self.leftovers

    def list_states(self) -> dict[str, ServiceState]:
        return dict(self.states)

    def list_ports(self) -> frozenset[int]:
        return frozenset()

    def fetch(self, service: Service, path: str, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        if service.name not in self.states:
            return Answer(0, error="refused")
        if service.name in self.unready:
            return Answer(503, '{"error": {"message": "Loading model"}}')
        model = service.model
        assert model is not None
        if service.name in self.silent:
            return Answer(0, error="Connection refused")
        if path == "/v1/models":
            listed = {"id": model.served_name, "root": model.path, "max_model_len": model.context_length}
            return self.engine_answer or Answer(200, json.dumps({"data": [{**listed, **self.engine_lists}]}))
        if path != "/props":
            return Answer(200)
        settings = {"n_ctx": model.context_length}
        props = {"model_path": model.path, "total_slots": model.slots, "default_generation_settings": settings}
        return Answer(200, json.dumps(props))

    def probe(self, service: Service, app: AppService, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        if service.name in self.silent:
            return Answer(0, error="Connection refused")
        return Answer(200, "answers PING")

    def read_log(self, service: str, lines: int) -> str:
        return self.log

    def follow_logs(self, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None:
        for name in services:
            write(name, self.log)

    def read_start_log(self, state: ServiceState) -> str:
        return self.start_logs.get(state.name, "")

    def explain_lost_gpu(self, service: str) -> str:
        return self.lost_gpu

    def _count_start(self) -> str:
        self.starts += 1
        return f"start-{self.starts}"

    def _enter(self, method: str) -> None:
        self.calls.append(method)
        if method in self.failures:
            raise self.failures[method]

    @staticmethod
    def _mark(plan: StartPlan, service: Service) -> object:
        return service.digest, plan.secrets[service.name]
