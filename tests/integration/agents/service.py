"""The agents as a process of their own, and an upstream that answers what a test says, behind a real gateway."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from stackctl.adapters.process.drill_gateway import DrillGateway
from tests.http_server import QuietHandler, serve_http
from tests.integration.gateway.drilled import run_gateway
from tests.integration.stack_site import REPOSITORY, clean_environment
from tests.ports import claim_port
from tests.waiting import wait_for

ANALYSIS, QUESTIONS, REQUIREMENTS = "/v1/problem-analysis", "/v1/context-questions", "/v1/requirements"
PROBLEM = {"problem": "우리 팀의 월간 보고서 생성을 자동화하고 싶습니다."}
GOOD_ANALYSIS: dict[str, Any] = {
    "title": "Monthly report",
    "summary": "Writing the monthly report by hand takes two days.",
    "kind": "reporting",
    "complexity": "low",
    "goals": ["The report is there on the first working day"],
    "obstacles": [],
    "constraints": [],
    "people": [{"who": "controller", "need": "figures that are right"}],
    "unknowns": ["Where the figures come from"],
}
GOOD_QUESTIONS: dict[str, Any] = {
    "known": [],
    "questions": [{"text": "Who?", "reason": "Rights", "options": ["a"], "is_required": True}],
}
GOOD_REQUIREMENTS: dict[str, Any] = {
    "title": "Report",
    "purpose": "A report without work.",
    "functions": [{"text": "It writes the report.", "priority": "must", "acceptance": ["It is there."]}],
    "qualities": [{"kind": "security", "text": "Only accounting reads it.", "priority": "must"}],
    "risks": [],
    "out_of_scope": [],
    "open_questions": [],
}
_FITTING = {"ProblemAnalysis": GOOD_ANALYSIS, "QuestionsDraft": GOOD_QUESTIONS, "RequirementsDraft": GOOD_REQUIREMENTS}
_TIMEOUT_S = 120.0


@dataclass
class Agents:
    """A running service.

    Attributes:
        key: of the gateway; what ``ask`` presents.
        timeout_s: how long ``ask`` waits.
    """

    url: str
    key: str
    process: subprocess.Popen[bytes]
    log: Path
    timeout_s: float = _TIMEOUT_S

    def ask(self, path: str, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
        """One call; an empty key sends none."""
        given = self.key if key is None else key
        if given:
            headers["Authorization"] = f"Bearer {given}"
        return httpx.post(self.url + path, json=body, headers=headers, timeout=self.timeout_s)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=_TIMEOUT_S)

    def read_log(self) -> str:
        return self.log.read_text(encoding="utf-8")


@contextmanager
def run_agents(folder: Path, gateway_url: str, key: str, **settings: str) -> Iterator[Agents]:
    """Run it until the end of the block; its variables are ``settings`` with ``AGENTS_`` before them."""
    port = claim_port()
    variables = {"AGENTS_PORT": str(port), "AGENTS_GATEWAY_URL": gateway_url}
    variables |= {f"AGENTS_{name}": value for name, value in settings.items()}
    source = {"PYTHONPATH": str(REPOSITORY / "services" / "agents")}
    log = folder / f"agents-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "agents"],
            env=clean_environment(**variables, **source),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    agents = Agents(f"http://127.0.0.1:{port}", key, process, log)
    try:
        wait_for(lambda: _is_live(agents), "the agents")
        yield agents
    finally:
        process.terminate()
        process.wait(_TIMEOUT_S)


def _is_live(agents: Agents) -> bool:
    assert agents.process.poll() is None, agents.read_log()
    try:
        return agents.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Upstream:
    """A server of OpenAI's format behind a real gateway: it answers ``texts`` in their order, the last one for ever.

    Where there are none, it answers what the schema in the request wants.

    Attributes:
        takes_schema: whether it refuses ``response_format`` like a server that has never heard of it.
        asked: the bodies of all requests.
        go: cleared, requests wait for it.
        most: of all requests, those after so many wait as well.
        waits: released by each request that waits.
        left: set where a client, that is the gateway, went while its request waited.
        leave: set by a test whose callers are to hang up.
    """

    gateway: DrillGateway
    texts: list[str] = field(default_factory=list)
    finish: str = "stop"
    takes_schema: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)
    most: float = math.inf
    go: threading.Event = field(default_factory=threading.Event)
    waits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    left: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)

    def answer(
        self, *texts: str | dict[str, Any], finish: str = "stop", takes_schema: bool = True, most: float = math.inf
    ) -> None:
        """What comes next; forgets what was asked."""
        self.texts = [text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in texts]
        self.finish, self.takes_schema, self.most, self.asked = finish, takes_schema, most, []
        self.go.set()
        self.left.clear()
        self.leave.clear()

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of one answer."""
        self.asked.append(body)
        if "response_format" in body and not self.takes_schema:
            error = {"message": "unknown field", "type": "invalid_request_error", "param": "response_format"}
            return 400, {"error": {**error, "code": None}}
        text = self._find_fitting(body) if not self.texts else self._take_next()
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": self.finish}
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        return 200, {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }

    def _take_next(self) -> str:
        return self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]

    def _find_fitting(self, body: dict[str, Any]) -> str:
        return json.dumps(_FITTING[body["response_format"]["json_schema"]["name"]])


@contextmanager
def run_upstream() -> Iterator[Upstream]:
    """The upstream, and the gateway before it, where it stands behind every name that the tests use."""
    with ExitStack() as stack:
        upstream: Upstream

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if not upstream.go.is_set() or len(upstream.asked) >= upstream.most:
                    self._wait()
                status, answer = upstream.reply(body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _wait(self) -> None:
                upstream.waits.release()
                self.connection.settimeout(_TIMEOUT_S)
                if not self.connection.recv(1):
                    upstream.left.set()
                    raise ConnectionError

        address = stack.enter_context(serve_http(Handler))
        parameters = {"model": "openai/m", "api_base": f"http://{address}/v1", "api_key": "k"}
        names = ("local-chat", "internal-chat", "ollama-chat")
        models = [{"model_name": name, "litellm_params": parameters} for name in names]
        gateway = stack.enter_context(run_gateway(json.dumps({"model_list": models})))
        upstream = Upstream(gateway)
        upstream.go.set()
        yield upstream


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
