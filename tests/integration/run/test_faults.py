"""Faults that happen: processes killed, a model that cannot be loaded. The stack heals, and says what happened."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.integration.stack_site import CHAT_SERVICE, DEMO_MODEL, ENDLESS_QUESTION, GATEWAY_SERVICE, Site
from tests.processes import is_alive, list_descendants
from tests.waiting import wait_for

# What a client may wait for the end of a broken answer; an answer that hangs would last until the request's limit.
BREAK_DEADLINE_S = 30.0
ENDLESS_CHAT: dict[str, Any] = {
    "model": "local-chat",
    "temperature": 0,
    "messages": [{"role": "user", "content": ENDLESS_QUESTION}],
}


@pytest.fixture
def up_site(worn_site: Site) -> Site:
    """The module's site, running and healthy, with two gateway processes."""
    worn_site.configure(GATEWAY_WORKERS="2")
    worn_site.run("up")
    return worn_site


@pytest.fixture
def model(worn_site: Site) -> Iterator[Path]:
    """A model file of the site's own, to be spoilt."""
    path = worn_site.path / "models" / "chat.gguf"
    shutil.copy(DEMO_MODEL, path)
    worn_site.configure(CHAT_MODEL=path.name)
    yield path
    worn_site.configure(CHAT_MODEL="")


def kill(pid: int) -> float:
    """Kill as the kernel does when memory runs out; when it was done."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), f"end of {pid}")
    return time.monotonic()


def find_result(report: dict[str, Any], layer: str, subject: str) -> dict[str, Any]:
    found = [item for item in report["results"] if (item["layer"], item["subject"]) == (layer, subject)]
    assert len(found) == 1, report
    assert isinstance(found[0], dict)
    return found[0]


def assert_healed(site: Site, service: str, dead: int) -> None:
    """A new process, everything healthy again, and the story told: how it died and that it was restarted."""
    report = site.wait_healthy()
    assert site.find_pids()[service] != dead
    story = find_result(report, "service", service)["detail"]
    assert "SIGKILL" in story
    assert "restarted" in story


def test_an_engine_killed_mid_stream_is_an_error_not_a_hang(up_site: Site) -> None:
    engine = up_site.find_pids()[CHAT_SERVICE]
    texts: list[str] = []
    with (
        openai.OpenAI(base_url=f"{up_site.url}/v1", api_key=up_site.keys["GATEWAY_KEY"], max_retries=0) as client,
        client.chat.completions.create(**ENDLESS_CHAT, stream=True) as stream,
    ):
        chunks = iter(stream)
        texts += [next(chunks).choices[0].delta.content or "" for _ in range(8)]
        killed = kill(engine)
        with pytest.raises(openai.APIError):
            list(chunks)
    assert time.monotonic() - killed < BREAK_DEADLINE_S
    assert "tick" in "".join(texts)
    assert_healed(up_site, CHAT_SERVICE, engine)


def test_an_engine_killed_mid_stream_is_an_error_for_anthropic_clients_too(up_site: Site) -> None:
    engine = up_site.find_pids()[CHAT_SERVICE]
    with anthropic.Anthropic(base_url=up_site.url, api_key=up_site.keys["GATEWAY_KEY"], max_retries=0) as client:
        stream = client.messages.create(
            model="local-chat", max_tokens=8000, messages=[{"role": "user", "content": ENDLESS_QUESTION}], stream=True
        )
        events = iter(stream)
        seen = [next(events).type for _ in range(8)]
        killed = kill(engine)
        with pytest.raises(anthropic.APIError):
            list(events)
    assert time.monotonic() - killed < BREAK_DEADLINE_S
    assert "content_block_delta" in seen
    assert_healed(up_site, CHAT_SERVICE, engine)


def test_an_engine_killed_while_it_answers_is_an_error(up_site: Site) -> None:
    engine = up_site.find_pids()[CHAT_SERVICE]
    port = up_site.settings["INFERENCE_PORT"]
    headers = {"Authorization": f"Bearer {up_site.keys['INFERENCE_API_KEY']}"}

    def is_busy() -> bool:
        slots = httpx.get(f"http://127.0.0.1:{port}/slots", headers=headers, timeout=60).json()
        return any(slot["is_processing"] for slot in slots)

    with ThreadPoolExecutor(1) as pool, up_site.client() as client:
        answer = pool.submit(client.post, "/v1/chat/completions", json=ENDLESS_CHAT)
        wait_for(is_busy, "a request in the engine")
        kill(engine)
        failed = answer.result(BREAK_DEADLINE_S)
    assert failed.status_code in (502, 503), failed.text
    assert failed.json()["error"]["code"].startswith("upstream_")
    assert_healed(up_site, CHAT_SERVICE, engine)


def test_a_killed_gateway_comes_back(up_site: Site) -> None:
    gateway = up_site.find_pids()[GATEWAY_SERVICE]
    workers = list_descendants(gateway)
    assert len(workers) == 2
    kill(gateway)
    assert_healed(up_site, GATEWAY_SERVICE, gateway)
    assert [pid for pid in workers if is_alive(pid)] == []


def test_the_slots_of_a_killed_gateway_process_are_given_back(up_site: Site) -> None:
    is_over = Event()

    def read_line() -> dict[str, int]:
        with up_site.client() as client:
            lines: dict[str, dict[str, int]] = client.get("/health").json()["slots"]
        return lines.get(CHAT_SERVICE, {"slots": 0, "leased": 0, "waiting": 0})

    def keep_asking() -> None:
        while not is_over.is_set():
            with suppress(httpx.HTTPError), up_site.client() as client:
                client.post("/v1/chat/completions", json={**ENDLESS_CHAT, "max_tokens": 512})

    def is_full() -> bool:
        line = read_line()
        return line["leased"] == line["slots"] > 0 and line["waiting"] > 0

    with ThreadPoolExecutor(24) as pool:
        try:
            for _ in range(24):
                pool.submit(keep_asking)
            wait_for(is_full, "all slots to be leased")
            kill(list_descendants(up_site.find_pids()[GATEWAY_SERVICE])[0])
        finally:
            is_over.set()
    wait_for(lambda: read_line()["leased"] == read_line()["waiting"] == 0, "every slot to be given back")


def test_each_gateway_process_counts_the_requests_of_both(up_site: Site) -> None:
    def count() -> set[float]:
        with up_site.client("GATEWAY_ADMIN_KEY") as admin:
            texts = [admin.get("/metrics", headers={"Connection": "close"}).text for _ in range(8)]
        rows = [
            re.findall(r'^gateway_requests_total{.*route="/v1/models".*} ([0-9.]+)$', t, re.MULTILINE) for t in texts
        ]
        return {sum(map(float, row)) for row in rows}

    before = count()
    with up_site.client() as client:
        for _ in range(8):
            client.get("/v1/models", headers={"Connection": "close"})
    assert len(before) == 1
    assert count() == {before.pop() + 8}


def test_a_killed_supervisor_takes_everything_with_it(up_site: Site) -> None:
    supervisor, *children = up_site.list_processes()
    assert len(children) >= 3
    kill(supervisor)
    try:
        wait_for(lambda: not any(map(is_alive, children)), "end of the supervisor's children")
    finally:
        for pid in filter(is_alive, children):
            os.kill(pid, signal.SIGKILL)
    assert up_site.run_json("status")["running"] is False
    health = up_site.run("health", code=None)
    assert health.returncode in (5, 6)
    assert "not running" in health.stderr or "not started" in health.stdout
    assert "stackctl up" in health.stderr + health.stdout
    up_site.run("up")
    assert up_site.find_supervisor() != supervisor


def test_a_frozen_engine_is_called_paused_is_not_waited_for_and_goes_on_with_up(up_site: Site) -> None:
    before = up_site.find_pids()
    os.kill(before[CHAT_SERVICE], signal.SIGSTOP)
    try:
        report = up_site.load_health()
        assert find_result(report, "service", CHAT_SERVICE)["detail"].startswith("paused")
        assert find_result(report, "service", CHAT_SERVICE)["hint"] == "run 'stackctl up'"
        assert "not asked" in find_result(report, "completion", "local-chat")["detail"]
        up_site.run("up")
    finally:
        os.kill(before[CHAT_SERVICE], signal.SIGCONT)
    assert up_site.find_pids() == before
    assert up_site.load_health()["status"] == "ok"


def load_failed(site: Site) -> dict[str, Any] | None:
    """The health of a stack that has failed; None while the supervisor tries once more, which loads for a moment."""
    report = site.load_health()
    assert report["status"] in ("failed", "loading")
    return report if report["status"] == "failed" else None


def test_a_model_that_cannot_be_loaded_fails_at_once_and_quotes_the_log(model: Path, up_site: Site) -> None:
    whole = model.read_bytes()
    # The header stays right, so nothing is wrong until the engine looks for its tensors.
    assert whole.count(b"blk.0.attn_q.weight") == 1
    replace(model, whole.replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight"))
    restart = up_site.run("restart", CHAT_SERVICE, code=6)
    assert "last lines of inference-chat" in restart.stderr
    assert "attn_q.weight" in restart.stderr
    report = wait_for(lambda: load_failed(up_site), "the supervisor's last try")
    assert find_result(report, "service", CHAT_SERVICE)["status"] == "failed"
    assert find_result(report, "completion", "local-chat")["status"] != "ok"
    assert find_result(report, "embeddings", "local-embed")["status"] == "ok"  # the other model serves on
    assert "local-chat" in up_site.run("chat", "ping", code=5).stderr
    up = up_site.run("up", code=6)
    assert "attn_q.weight" in up.stderr
    replace(model, whole)
    up_site.run("up")
    assert up_site.load_health()["status"] == "ok"


def test_another_model_file_of_the_same_name_is_noticed_and_served_by_up(model: Path, up_site: Site) -> None:
    up_site.run("up")
    before = up_site.find_pids()
    replace(model, model.read_bytes())
    result = find_result(up_site.load_health(), "model", "local-chat")
    assert result["status"] == "failed"
    assert result["detail"] == "chat.gguf is another file than the one that was loaded"
    up_site.run("up")
    after = up_site.find_pids()
    assert [name for name in after if after[name] != before[name]] == [CHAT_SERVICE]
    assert up_site.load_health()["status"] == "ok"


def test_a_file_that_is_no_model_is_refused_before_anything_stops(model: Path, up_site: Site) -> None:
    before = up_site.find_pids()
    replace(model, b"garbage" * 100)
    for command in ("restart", "up"):
        refused = up_site.run(command, code=3)
        assert model.name in refused.stderr
    assert up_site.find_pids() == before


def test_a_stack_that_never_gets_healthy_is_not_left_half_there(model: Path, worn_site: Site) -> None:
    worn_site.run("down")
    replace(model, model.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight"))
    failed = worn_site.run("up", code=6)
    assert "attn_q.weight" in failed.stderr
    assert worn_site.run_json("status")["running"] is False
    assert worn_site.list_processes() == []
    assert not worn_site.socket_folder.exists()


def replace(path: Path, content: bytes) -> None:
    """Put another file in its place: one that a running engine has mapped must not change under it."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
