"""A stack on a GPU for as long as it runs: its log turns over, it dies and comes back, its GPU is lost.

Real services and a real engine; the GPU is emulated (emulated_gpu.py).
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.emulated_gpu import HELD_MIB, EmulatedGpu
from tests.integration.stack_site import ANSWERS, CHAT_SERVICE, Site
from tests.processes import is_alive
from tests.waiting import wait_for

QUESTION = "ping"


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmulatedGpu:
    """A machine with one GPU, and a `llama-server` for it on PATH."""
    emulated = EmulatedGpu.create(tmp_path / "gpu")
    monkeypatch.setenv("PATH", str(emulated.programs), prepend=os.pathsep)
    return emulated


def make_gpu_site(make_site: MakeSite, **settings: str) -> Site:
    return make_site(STACK_GPU="nvidia", LOG_MAX_SIZE="100k", LOG_MAX_FILES="3", **settings)


def ask(site: Site, count: int) -> None:
    """Ask a question so many times, four at a time."""
    body = {"model": "local-chat", "temperature": 0, "messages": [{"role": "user", "content": QUESTION}]}

    def run(number: int) -> str:
        answer = client.post("/v1/chat/completions", json=body)
        return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])

    with site.client() as client, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(run, range(count))) == {ANSWERS[QUESTION]}


def list_logs(site: Site) -> list[Path]:
    return sorted((site.state / "logs").glob(f"{CHAT_SERVICE}.log*"))


def fill_log(site: Site) -> None:
    """Ask until no file holds the mark of the start any more: the log has turned over three times."""

    def is_turned() -> bool:
        ask(site, 4)
        return not any(b"launch: " in path.read_bytes() for path in list_logs(site))

    wait_for(is_turned, "the end of the start's lines")


def find_gpu(report: dict[str, Any]) -> dict[str, Any]:
    (result,) = [item for item in report["results"] if item["layer"] == "gpu"]
    assert isinstance(result, dict)
    return result


def test_a_gpu_stack_stays_well_when_its_log_has_turned_over(make_site: MakeSite, gpu: EmulatedGpu) -> None:
    site = make_gpu_site(make_site, INFERENCE_ENVIRONMENT="LLAMA_ARG_LOG_VERBOSITY=5")
    site.run("up")
    fill_log(site)
    assert max(path.stat().st_size for path in list_logs(site)) < 300 * 1024
    report = site.load_health()
    assert report["status"] == "ok", report
    assert "5 of 5 layers" in find_gpu(report)["detail"]
    assert f"the driver counts {HELD_MIB / 1024:.1f} GiB" in find_gpu(report)["detail"]
    pids = site.find_pids()
    assert "nothing had to change" in site.run("up").stdout
    assert site.find_pids() == pids
    site.run("restart")
    assert site.find_pids() != pids
    assert "5 of 5 layers" in find_gpu(site.load_health())["detail"]

    # It dies while nobody looks, and its log turns over before anybody does.
    engine = site.find_pids()[CHAT_SERVICE]
    os.kill(engine, signal.SIGKILL)
    wait_for(lambda: site.find_pids().get(CHAT_SERVICE, 0) not in (0, engine), "a new engine")
    wait_for(lambda: site.run("chat", QUESTION, code=None).returncode == 0, "an answer")
    fill_log(site)
    warned = site.run("health")
    assert "no longer says where this start put the model; the driver counts 0.9 GiB" in " ".join(warned.stdout.split())
    assert "nothing had to change" in site.run("up").stdout

    # The driver counts nothing any more.
    site.run("restart")
    gpu.lose()
    report = site.run_json("health", code=6)
    assert "the GPU was lost" in find_gpu(report)["detail"]


def test_the_log_holds_two_lines_a_request_and_all_of_the_start(make_site: MakeSite, gpu: EmulatedGpu) -> None:
    site = make_gpu_site(make_site)
    site.run("up")
    log = site.state / "logs" / f"{CHAT_SERVICE}.log"
    before = log.read_text().splitlines()
    assert any("offloaded 5/5 layers" in line for line in before)
    assert any("KV buffer size" in line for line in before)
    count = 20
    ask(site, count)

    def read_information() -> list[str] | None:
        lines = [line for line in log.read_text().splitlines()[len(before) :] if " I slot " in line]
        return lines if len(lines) >= 2 * count else None

    seen = wait_for(read_information, "the lines")
    assert {line.split("=")[0].split("|")[-1].strip() for line in seen} == {"prompt eval time", "eval time"}
    assert len(seen) == 2 * count
    engine = site.find_pids()[CHAT_SERVICE]
    left = site.list_processes()
    site.run("down")
    assert not [pid for pid in (engine, *left) if is_alive(pid)], "the filter ends with its engine"
