"""A real gateway with every kind of traffic, and a real Prometheus that watches it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from stackctl.adapters.http.stand_in import run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.apps.observability.alerts import list_alerts, render_alerts
from stackctl.core.apps.observability.prometheus import Scraping, render_prometheus
from stackctl.core.drill.behaviour import Behaviour, StandInRequest
from stackctl.core.drill.faults import OK
from tests.http_server import QuietHandler, serve_http
from tests.integration.gateway.drilled import SOURCE, find_gateway_python, run_gateway
from tests.integration.observability.prometheus_server import PrometheusServer, run_prometheus
from tests.ports import claim_port
from tests.processes import list_descendants

CHAT = "/v1/chat/completions"
FIRST_TOKEN_S = 1
SLOTS = 1
BEHAVIOURS = {
    "fine": OK,
    "second": OK,
    "kept": OK,
    "broken": Behaviour(status=503),
    "lost": Behaviour(status=503),
    "slow": Behaviour(wait_first_s=2 * FIRST_TOKEN_S),
    "endless": Behaviour(hang="between_tokens"),
}


def build_configuration(url: str) -> str:
    """Models by what their server does; ``first`` falls back from ``broken``."""
    parameters = {"api_base": f"{url}/v1", "api_key": "k"}
    limits = {"fine": {"rpm": 100_000}}
    models = [
        {"model_name": name, "litellm_params": {**parameters, "model": f"openai/{name}", **limits.get(name, {})}}
        for name in BEHAVIOURS
    ]
    own = {
        "queue": {"wait_s": 4},
        "providers": {
            "near": {"kind": "openai-compatible", "rpm": 1_000_000},
            "busy": {"kind": "openai-compatible", "slots": SLOTS},
        },
        "models": {name: {"provider": "busy" if name == "endless" else "near"} for name in BEHAVIOURS},
        "routes": {
            **{name: {"targets": [name], "retries": 0} for name in BEHAVIOURS},
            "first": {"targets": ["broken", "second"], "retries": 0},
            "kept": {"targets": ["kept"], "retries": 0, "cache": {"when": "always", "max_age_s": 600}},
        },
    }
    return json.dumps({"model_list": models, "gateway": own})


@dataclass
class Watched:
    """The gateway, its Prometheus, and what a page beside it says of this machine.

    Attributes:
        page: series that a real machine cannot be made to have at will.
        gpus: file with what the program of NVIDIA's driver prints.
    """

    gateway: DrillGateway
    prometheus: PrometheusServer
    state: Path
    page: dict[str, str]
    gpus: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.gateway.url, timeout=60, trust_env=False)

    def ask(self, model: str = "fine", key: str = "", **fields: Any) -> int:
        """One request; its status, or 0 where its client went."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **fields}
        headers = {"authorization": f"Bearer {key or self.gateway.key}"}
        with suppress(httpx.TimeoutException):
            return self.client.post(CHAT, json=body, headers=headers).status_code
        return 0

    def order(self, **body: Any) -> dict[str, Any]:
        """An action of the operator's."""
        headers = {"authorization": f"Bearer {self.gateway.admin_key}"}
        answer = self.client.post("/admin", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def hold_requests(self, number: int) -> ThreadPoolExecutor:
        """Requests whose answers never end, more than there are slots."""
        pool = ThreadPoolExecutor(number)
        for _ in range(number):
            pool.submit(self.leave_soon, 8.0)
        return pool

    def leave_soon(self, after_s: float = 0.2) -> None:
        """Ask for an answer that never ends, and go."""
        body = {"model": "endless", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        headers = {"authorization": f"Bearer {self.gateway.key}"}
        url = f"{self.gateway.url}{CHAT}"
        with (
            suppress(httpx.TimeoutException),
            httpx.Client(timeout=after_s, trust_env=False) as client,
        ):
            client.post(url, json=body, headers=headers)

    def break_driver(self) -> None:
        """Let the program of NVIDIA's driver print what it does, and fail."""
        driver = self.gpus.with_name("bin") / "nvidia-smi"
        driver.write_text(f"#!/bin/sh\ncat '{self.gpus}'\nexit 9\n")

    def rename_table(self, old: str, new: str) -> None:
        """Take a table away from the gateway, or give it back."""
        connection = sqlite3.connect(self.state / "gateway.db", timeout=60)
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
        connection.close()

    def end_workers(self) -> None:
        """Have each worker end in order, as a stop would; the gateway starts others."""
        self.client.close()  # whose connection ends with its worker
        for worker in list_descendants(self.gateway.pid):
            os.kill(worker, signal.SIGTERM)
        self.__post_init__()

    def stop(self) -> None:
        """End the gateway."""
        os.kill(self.gateway.pid, signal.SIGTERM)


@contextmanager
def run_gpu_metrics(folder: Path, gpus: Path) -> Iterator[str]:
    """The program that looks at GPUs, beside a driver whose program prints a file; its host and port."""
    driver = folder / "bin" / "nvidia-smi"
    driver.parent.mkdir()
    gpus.write_text("".join(f"GPU-{number}, A card, 1024, 81559, 37, 45\n" for number in (1, 2)))
    driver.write_text(f"#!/bin/sh\nexec cat '{gpus}'\n")
    driver.chmod(0o755)
    place = f"127.0.0.1:{claim_port()}"
    address, port = place.split(":")
    variables = {"GPU_METRICS_ADDRESS": address, "GPU_METRICS_PORT": port, "PYTHONPATH": str(SOURCE)}
    path = f"{driver.parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen([find_gateway_python(), "-m", "gateway.gpus"], env={**variables, "PATH": path})
    try:
        yield place
    finally:
        process.terminate()
        assert process.wait(60) == 0


@contextmanager
def watch_gateway(folder: Path) -> Iterator[Watched]:
    """Everything runs until the end of the block; Prometheus looks each second."""
    page: dict[str, str] = {}

    class Page(QuietHandler):
        def do_GET(self) -> None:
            text = "".join(f"{name} {value}\n" for name, value in page.items()).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

    def choose(request: StandInRequest, number: int) -> Behaviour:
        return BEHAVIOURS[request.model]

    state = folder / "state"
    with ExitStack() as stack:
        provider = stack.enter_context(run_stand_in(choose))
        settings = {"GATEWAY_STATE": str(state), "GATEWAY_WORKERS": "2"}
        gateway = stack.enter_context(run_gateway(build_configuration(provider.url), **settings))
        place = stack.enter_context(serve_http(Page))
        (folder / "key").write_text(gateway.admin_key)
        gpus = folder / "gpus"
        others = {"machine": place, "gpu-metrics": stack.enter_context(run_gpu_metrics(folder, gpus))}
        scraping = Scraping("a 'test'", gateway.url.split("//")[1], f"{folder}/key", "alerts.yml", others)
        alerts = render_alerts(list_alerts(FIRST_TOKEN_S))
        prometheus = stack.enter_context(run_prometheus(folder, render_prometheus(scraping, 1), alerts, "alerts.yml"))
        watched = Watched(gateway, prometheus, state, page, gpus)
        stack.callback(watched.client.close)
        yield watched


@contextmanager
def keep_asking(watched: Watched) -> Iterator[None]:
    """Requests of every kind while the block runs."""
    done = threading.Event()
    limits = {"requests_per_minute": 5000, "tokens_per_minute": 10_000_000, "budget_tokens": 10_000_000}
    ada = watched.order(do="keys.create", name="ada", **limits)["secret"]
    small = watched.order(do="keys.create", name="small", requests_per_minute=1)["secret"]

    def ask() -> None:
        while not done.is_set():
            for model, key in (("fine", ""), ("fine", ada), ("fine", small), ("first", ada), ("kept", ada)):
                watched.ask(model, key, stream=True, stream_options={"include_usage": True})
            watched.leave_soon()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
