"""Debian's Prometheus for a test: started in a folder of the test's own, asked over HTTP. Does I/O."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.ports import claim_port
from tests.programs import require_program
from tests.waiting import wait_for


@dataclass(frozen=True)
class PrometheusServer:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=60)
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def read(self, expression: str) -> float | None:
        """The value of the only series; None where there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def list_firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = httpx.get(f"{self.url}/api/v1/alerts", timeout=60).json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def run_prometheus(folder: Path, configuration: str, alerts: str, alerts_file: str) -> Iterator[PrometheusServer]:
    """Run it with these files until the end of the block."""
    program, port = require_program("prometheus", "prometheus"), claim_port()
    (folder / "prometheus.yml").write_text(configuration, encoding="utf-8")
    (folder / alerts_file).write_text(alerts, encoding="utf-8")
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    server = PrometheusServer(f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: server.is_ready() or process.poll() is not None, "Prometheus")
        assert process.poll() is None, (folder / "log").read_text()
        yield server
    finally:
        process.terminate()
        process.wait(60)
