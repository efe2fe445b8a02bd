"""A stack with vLLM, for real: it starts, says truthfully how it is, answers in every format, and travels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.core.models.safetensors import parse_safetensors
from tests.integration.stack_site import Site
from tests.processes import is_alive, list_descendants
from tests.vllm.conftest import START_TIMEOUT_S, start
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(3 * START_TIMEOUT_S)

QUESTION: dict[str, Any] = {
    "model": "local-chat",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 8,
    "temperature": 0,
}


def find_result(report: dict[str, Any], layer: str) -> dict[str, Any]:
    return next(item for item in report["results"] if (item["layer"], item["subject"]) == (layer, "local-chat"))


def ask(site: Site) -> dict[str, Any]:
    with site.client() as client:
        answer = client.post("/v1/chat/completions", json=QUESTION)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert isinstance(body, dict)
    return body


def list_workers(site: Site) -> list[int]:
    """Every process that works in the site's folder, whoever its parent is."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (place / "cwd").readlink() == site.state / "scratch":
                found.append(int(place.name))
    return found


def find_engine(site: Site) -> str:
    """Base URL of the engine itself; the fourth port is the first that stack.yml's models get."""
    return f"http://127.0.0.1:{int(site.settings['INFERENCE_PORT']) + 3}"


def is_ready(site: Site) -> bool:
    """Whether the engine answers; vLLM does not listen before."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{find_engine(site)}/health").status_code == 200
    return False


def read_events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


# Before it starts


def test_the_checks_of_its_files_are_right_about_a_real_folder(site: Site) -> None:
    checked = {item["path"]: item["status"] for item in site.run_json("models", "verify")}
    assert {name for name in checked if name.startswith("tiny/")} >= {"tiny/config.json", "tiny/tokenizer.json"}
    assert set(checked.values()) == {"ok"}


def test_our_reader_sees_what_the_format_s_own_library_wrote(tiny_model: Path) -> None:
    index = json.loads((tiny_model / "model.safetensors.index.json").read_text(encoding="utf-8"))
    headers = []
    for path in sorted(tiny_model.glob("*.safetensors")):
        with path.open("rb") as file:
            headers.append(parse_safetensors(file))
    assert {name for header in headers for name in header.names} == set(index["weight_map"])
    assert sum(header.parameter_count for header in headers) == index["metadata"]["total_parameters"]
    assert sum(header.tensor_bytes for header in headers) == index["metadata"]["total_size"]


def test_a_damaged_folder_starts_nothing(site: Site, tmp_path: Path) -> None:
    shard = site.path / "models" / "tiny" / "model-00001-of-00003.safetensors"
    kept = tmp_path / shard.name
    shutil.move(shard, kept)
    try:
        done = site.run("up", code=3)
    finally:
        shutil.move(kept, shard)
    assert f"shard {shard.name} is missing" in done.stderr
    assert site.list_processes() == []


def test_a_program_that_is_not_there_starts_nothing(site: Site) -> None:
    program = site.settings["VLLM_PROGRAM"]
    site.configure(VLLM_PROGRAM="/nowhere/vllm")
    try:
        done = site.run("up", code=3)
    finally:
        site.configure(VLLM_PROGRAM=program)
    assert "there is no vllm program (/nowhere/vllm)" in done.stderr
    assert site.list_processes() == []


# While it runs


def test_health_tells_its_model_context_and_device(running: Site) -> None:
    report = running.load_health()
    assert report["status"] == "ok"
    assert find_result(report, "model")["detail"] == "tiny"
    assert find_result(report, "context")["detail"] == "1024 tokens, 4 requests at the same time"
    assert find_result(report, "gpu")["detail"] == "runs on the CPU; no GPU is expected"
    assert find_result(report, "completion")["status"] == find_result(report, "stream")["status"] == "ok"


def test_it_is_listed_and_described(running: Site) -> None:
    (row,) = running.run_json("models", "list")
    assert (row["served_name"], row["file"], row["quantisation"]) == ("local-chat", "tiny", "BF16")
    assert running.run("doctor", code=None).returncode == 0


def test_a_whole_answer(running: Site) -> None:
    body = ask(running)
    assert body["model"] == "local-chat"
    assert body["usage"]["completion_tokens"] == 8
    assert body["choices"][0]["finish_reason"] == "length"
    assert ask(running)["choices"][0]["message"]["content"] == body["choices"][0]["message"]["content"]


def test_a_streamed_answer_is_the_whole_one_in_pieces(running: Site) -> None:
    with (
        running.client() as client,
        client.stream("POST", "/v1/chat/completions", json=QUESTION | {"stream": True}) as answer,
    ):
        events = read_events(answer)
    text = "".join(str(event["choices"][0]["delta"].get("content") or "") for event in events if event["choices"])
    assert text == ask(running)["choices"][0]["message"]["content"]
    assert {event["model"] for event in events} == {"local-chat"}


def test_messages_are_answered_in_their_own_format(running: Site) -> None:
    body = {key: QUESTION[key] for key in ("model", "messages", "max_tokens", "temperature")}
    with running.client() as client:
        answer = client.post("/v1/messages", json=body).json()
        with client.stream("POST", "/v1/messages", json=body | {"stream": True}) as streamed:
            events = read_events(streamed)
    assert (answer["type"], answer["model"], answer["stop_reason"]) == ("message", "local-chat", "max_tokens")
    assert answer["usage"]["output_tokens"] == 8
    assert [event["type"] for event in events][0 :: len(events) - 1] == ["message_start", "message_stop"]


def test_what_is_longer_than_its_context_is_refused_in_words(running: Site) -> None:
    long = QUESTION | {"messages": [{"role": "user", "content": "a" * 2000}]}
    with running.client() as client:
        answer = client.post("/v1/chat/completions", json=long)
    assert answer.status_code == 400
    assert "1024" in answer.text


@pytest.mark.parametrize("path", ["/v1/models", "/invocations", "/tokenize", "/metrics", "/version"])
def test_the_engine_answers_nobody_without_its_key(running: Site, path: str) -> None:
    url = find_engine(running)
    method = "GET" if path in ("/v1/models", "/metrics", "/version") else "POST"
    assert httpx.request(method, url + path, json={"model": "local-chat", "prompt": "x"}).status_code == 401
    assert httpx.get(f"{url}/health").status_code == 200


def test_its_key_is_in_no_argument_list(running: Site) -> None:
    key = running.keys["INFERENCE_API_KEY"].encode()
    for pid in running.list_processes():
        assert key not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_it_listens_on_loopback_alone(running: Site) -> None:
    pids = set(running.list_processes())
    addresses = {line.split()[1] for name in ("tcp", "tcp6") for line in _list_sockets(pids, name)}
    assert addresses
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}


def _list_sockets(pids: set[int], name: str) -> list[str]:
    """Lines of the kernel's table for what these processes listen on."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    lines = Path(f"/proc/net/{name}").read_text(encoding="utf-8").splitlines()[1:]
    return [line for line in lines if line.split()[3] == "0A" and line.split()[9] in inodes]


@pytest.mark.parametrize("victim", ["main", "child"])
def test_an_engine_that_is_killed_comes_back_and_leaves_nothing_behind(running: Site, victim: str) -> None:
    main = running.find_pids()["inference-chat"]
    children = list_descendants(main)
    os.kill(main if victim == "main" else children[-1], signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, (main, *children))), "the end of all its processes", START_TIMEOUT_S)
    wait_for(lambda: is_ready(running), "its readiness", START_TIMEOUT_S)
    running.wait_healthy()
    assert ask(running)["usage"]["completion_tokens"] == 8


# To another site


def test_the_stack_travels_with_its_folder_and_runs_elsewhere(
    running: Site, program: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = ask(running)["choices"][0]["message"]["content"]
    bundles = tmp_path / "bundles"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    packed = running.run("offline-pack", "--out", str(bundles), "--python", python)
    assert "vLLM's own program is not in the bundle" in packed.stderr
    (folder,) = [path for path in bundles.iterdir() if path.is_dir()]
    running.run("offline-verify", str(folder), "--allow-unsigned")
    running.run("down")
    assert list_workers(running) == []
    other = Site.create(tmp_path_factory.mktemp("another site"), VLLM_PROGRAM=str(program), STACK_GPU="none")
    (other.path / "stack.yml").unlink()  # the release's counts
    try:
        other.run("offline-load", str(folder), "--allow-unsigned")
        start(other)
        assert ask(other)["choices"][0]["message"]["content"] == text
        other.run("offline-verify", "--installed", "--allow-unsigned")
        assert not (other.path / "models").exists() or not list((other.path / "models").glob("tiny*"))
    finally:
        other.stop()
    assert list_workers(other) == []
