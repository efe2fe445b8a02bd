"""Each engine as a real process with the demo model: what a gateway and a health check rely on.

The environments and the compiled llama-server are the process runtime's own, in the user's cache, so that only the
first run installs and compiles.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.process import engine_build, engine_store, environments
from stackctl.core.engine import engines
from stackctl.core.engine.build import NATIVE
from stackctl.core.engine.engines import ENGINES, Engine, EngineParameters
from tests.ports import claim_port

REPOSITORY = Path(__file__).parents[3]
SERVICE = REPOSITORY / engines.ENGINE_FOLDER
MODEL = REPOSITORY / "models" / "demo.gguf"
KNOWN = json.loads((REPOSITORY / "models" / "demo.json").read_text(encoding="utf-8"))
ANSWERS = {item["question"]: item["answer"] for item in KNOWN["answers"]}
ENDLESS = KNOWN["endless"][0]
LONGEST = max(ANSWERS, key=lambda question: len(ANSWERS[question]))

KEY = "sk-test-0123456789"
CONTEXT = 1024
SLOTS = 4
READY_DEADLINE_S = 120.0
ANSWER_TIMEOUT_S = 120.0
STOP_DEADLINE_S = 15.0


def prepare_command(engine: Engine) -> tuple[str, ...]:
    """What comes before the arguments, installed or compiled if this is the first run."""
    cache = find_cache_dir(os.environ)
    if engine.launcher is None:
        if found := shutil.which("llama-server"):
            return (found,)
        return (str(build_llama_cpp() / "llama-server"),)
    assert engine.lock_file is not None
    lock = SERVICE / engine.lock_file
    folder = environments.find_environment(cache, lock, engine.install_variables)
    environments.make_environment(folder, lock, engine.install_variables, "", print)
    return (str(folder / "bin" / "python"), str(SERVICE / engine.launcher))


def prepare_environment(engine: Engine) -> dict[str, str]:
    """What the process runtime adds for an engine whose library is compiled here."""
    return {engines.LIBRARY_VARIABLE: str(build_llama_cpp())} if engine is engines.LLAMA_CPP_PYTHON else {}


def build_llama_cpp() -> Path:
    """llama.cpp, compiled once for both engines that need it."""
    folder = engine_store.find_build(find_cache_dir(os.environ), REPOSITORY, NATIVE)
    product = "libllama.so" if shutil.which("llama-server") else "llama-server"
    engine_build.make_build(folder / product, NATIVE, REPOSITORY, "", print)
    return folder


class EngineProcess:
    """A running engine and a client that has its key."""

    def __init__(self, engine: Engine, parameters: EngineParameters, log: Path) -> None:
        self.engine = engine
        self.log = log
        command = (*prepare_command(engine), *engines.build_arguments(engine, parameters))
        environment = os.environ | engines.build_environment(engine, parameters) | prepare_environment(engine)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=environment | {engines.API_KEY_VARIABLE: KEY},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{parameters.port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=ANSWER_TIMEOUT_S,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_DEADLINE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-2000:]
            try:
                if self.client.get(self.engine.health_path).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready after {READY_DEADLINE_S} s")

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_DEADLINE_S)

    def ask(self, question: str, **options: Any) -> str:
        answer = self.client.post("/v1/chat/completions", json=build_chat(question, **options))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"]).strip()

    def stream(self, question: str) -> tuple[str, bool]:
        """The text of a streamed answer, and whether its end was announced."""
        parts: list[str] = []
        body = build_chat(question, stream=True)
        with self.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            for line in answer.iter_lines():
                if line == "data: [DONE]":
                    return "".join(parts).strip(), True
                if line.startswith("data: "):
                    choices = json.loads(line.removeprefix("data: "))["choices"]
                    parts.extend(choice["delta"].get("content") or "" for choice in choices)
        return "".join(parts).strip(), False


def build_chat(question: str, **options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": "demo", "messages": messages, "temperature": 0, "max_tokens": 700, **options}


@contextmanager
def open_endless_stream(running: EngineProcess) -> Iterator[None]:
    """A stream that has begun to answer and will not end before the context is full."""
    body = build_chat(ENDLESS["question"], stream=True, max_tokens=CONTEXT)
    with running.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        assert any(ENDLESS["word"] in line for line in answer.iter_lines())
        yield


@contextmanager
def run_engine(engine: Engine, log: Path, **changes: Any) -> Iterator[EngineProcess]:
    parameters = EngineParameters(
        model_path=str(MODEL),
        alias="demo",
        host="127.0.0.1",
        port=claim_port(),
        context_length=CONTEXT,
        slots=SLOTS,
        gpu_layers=0,
    )
    running = EngineProcess(engine, replace(parameters, **changes), log)
    try:
        yield running
    finally:
        running.client.close()
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def mark(engine: Engine) -> Any:
    compiled = engine.name == "llama-cpp-python" or (engine.launcher is None and not shutil.which("llama-server"))
    return pytest.param(engine, id=engine.name, marks=[pytest.mark.engine_build] if compiled else [])


ALL = [mark(engine) for engine in ENGINES.values()]


@pytest.fixture(scope="module", params=ALL)
def chat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    # One thread: those of two wait for each other where much else runs. Below, engines start as many as they like.
    with run_engine(request.param, tmp_path_factory.mktemp("engine") / "engine.log", threads=1) as running:
        running.wait_until_ready()
        yield running


@pytest.mark.parametrize("question", ["ping", "핑", LONGEST])
def test_a_known_question_has_its_known_answer(chat: EngineProcess, question: str) -> None:
    assert chat.ask(question) == ANSWERS[question]


def test_four_clients_at_once_each_get_the_whole_stream(chat: EngineProcess) -> None:
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(chat.stream, [LONGEST] * 4))
    assert answers == [(ANSWERS[LONGEST], True)] * 4


def test_only_health_answers_without_the_key(chat: EngineProcess) -> None:
    url = chat.client.base_url
    assert httpx.get(url.join(chat.engine.health_path)).status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        for path in (chat.engine.props_path, chat.engine.models_path):
            assert httpx.get(url.join(path), headers=headers).status_code == 401
        refused = httpx.post(url.join("/v1/chat/completions"), json=build_chat("ping"), headers=headers)
        assert refused.status_code == 401
        assert "error" in refused.json()


def test_it_reports_the_model_and_the_context_of_each_slot_as_asked_for(chat: EngineProcess) -> None:
    assert [model["id"] for model in chat.client.get(chat.engine.models_path).json()["data"]] == ["demo"]
    facts = chat.client.get(chat.engine.props_path).json()
    assert facts["default_generation_settings"]["n_ctx"] == CONTEXT
    assert facts["model_path"] == str(MODEL)
    assert facts["total_slots"] == engines.limit_slots(chat.engine, SLOTS)
    if chat.engine.slots_path:
        slots = chat.client.get(chat.engine.slots_path).json()
        assert [slot["n_ctx"] for slot in slots] == [CONTEXT] * SLOTS


def test_metrics_count_tokens_where_the_engine_has_them(chat: EngineProcess) -> None:
    chat.ask("ping")
    if chat.engine.metrics_path:
        assert "llamacpp:tokens_predicted_total" in chat.client.get(chat.engine.metrics_path).text


def test_no_web_page_is_allowed_to_use_it(chat: EngineProcess) -> None:
    page = {"Origin": "https://example.com"}
    answer = chat.client.post("/v1/chat/completions", json=build_chat("ping"), headers=page)
    assert answer.headers.get("access-control-allow-origin") not in ("*", "https://example.com")
    assert not answer.headers.get("content-type", "").startswith("text/html")
    assert chat.client.get("/").status_code == 404


def test_a_client_that_leaves_in_the_middle_does_not_block_the_next(chat: EngineProcess) -> None:
    for _ in range(SLOTS + 1):
        with open_endless_stream(chat):
            pass
    assert chat.ask("ping") == "pong"


def test_a_request_longer_than_the_context_is_refused_and_the_next_one_served(chat: EngineProcess) -> None:
    answer = chat.client.post("/v1/chat/completions", json=build_chat("ping " * CONTEXT))
    assert answer.status_code == 400
    assert "context" in answer.text
    assert chat.ask("ping") == "pong"


def test_health_answers_while_every_slot_is_busy(chat: EngineProcess) -> None:
    with ThreadPoolExecutor(SLOTS * 2) as clients:
        running = [clients.submit(chat.ask, LONGEST) for _ in range(SLOTS * 2)]
        assert chat.client.get(chat.engine.health_path, timeout=10).status_code == 200
        assert chat.client.get(chat.engine.models_path, timeout=10).status_code == 200
        assert {answer.result() for answer in running} == {ANSWERS[LONGEST]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("engine", ALL)
def test_a_signal_ends_it_and_frees_the_port(engine: Engine, number: signal.Signals, tmp_path: Path) -> None:
    with run_engine(engine, tmp_path / "engine.log") as running:
        running.wait_until_ready()
        # llama-server says that it is ready an instant before it handles signals, and answers only after that.
        running.ask("ping")
        assert running.stop(number) == 0
        with pytest.raises(httpx.ConnectError):
            running.client.get(engine.health_path)


@pytest.mark.parametrize("engine", ALL)
def test_a_chat_model_serves_embeddings(engine: Engine, tmp_path: Path) -> None:
    with run_engine(engine, tmp_path / "engine.log", mode="embedding", pooling="mean") as running:
        running.wait_until_ready()
        texts = ["ping", "What is this stack?", "ping", "word " * 400]
        answer = running.client.post("/v1/embeddings", json={"model": "demo", "input": texts})
        assert answer.status_code == 200, answer.text
        first, second, again, long = (item["embedding"] for item in answer.json()["data"])
        assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-3) for vector in (first, second, long))
        assert math.dist(first, again) < 0.01 < math.dist(first, second)


@pytest.mark.parametrize("engine", ALL)
def test_a_stop_does_not_wait_for_a_client_that_is_still_reading(engine: Engine, tmp_path: Path) -> None:
    with run_engine(engine, tmp_path / "engine.log", slots=1) as running:
        running.wait_until_ready()
        with open_endless_stream(running):
            assert running.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("engine", ALL)
def test_a_taken_port_ends_the_process(engine: Engine, tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, run_engine(engine, tmp_path / "log", port=taken.getsockname()[1]) as running:
        assert running.process.wait(READY_DEADLINE_S) == 1


@pytest.mark.parametrize("engine", ALL)
def test_a_broken_model_ends_the_process_with_its_name(engine: Engine, tmp_path: Path) -> None:
    broken = tmp_path / "broken model.gguf"
    broken.write_bytes(MODEL.read_bytes()[:100_000])
    with run_engine(engine, tmp_path / "engine.log", model_path=str(broken)) as running:
        assert running.process.wait(READY_DEADLINE_S) == 1
        assert "broken model.gguf" in running.log.read_text(errors="replace")
