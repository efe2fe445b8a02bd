"""The running stack as its user meets it: commands, routes, keys, and what it must never show or open."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import httpx
import pytest
import yaml

from tests.integration.stack_site import (
    ANSWERS,
    CHAT_SERVICE,
    DEMO_MODEL,
    EMBEDDING_SERVICE,
    GATEWAY_SERVICE,
    REPOSITORY,
    Site,
)
from tests.processes import list_listening
from tests.waiting import wait_for

SERVICES = {CHAT_SERVICE, EMBEDDING_SERVICE, GATEWAY_SERVICE}
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
# What LiteLLM and its web framework would answer, one of each kind.
FOREIGN_ROUTES = (
    "/docs",
    "/openapi.json",
    "/routes",
    "/ui/",
    "/model/info",
    "/key/generate",
    "/config/yaml",
    "/v1/audio/speech",
    "/v1/files",
    "/v1/models/",
    "/chat/completions",
    "/v1/chat/completions/../../model/info",
    "/metrics/",
)
# Docker, a GPU, the internet, prompts, a bigger model, VS Code, Claude Code; the first two asked both ways.
FIRST_QUESTIONS = {
    "ko": (
        "도커가 필요해?",
        "도커 없이 되나요?",
        "GPU가 필요해?",
        "GPU 없이 되나요?",
        "인터넷이 필요해?",
        "내 프롬프트는 어디로 가?",
        "더 큰 모델을 어떻게 추가해?",
        "VS Code에 어떻게 연결해?",
        "Claude Code에 어떻게 연결해?",
        "게이트웨이가 뭐야?",
    ),
    "en": (
        "Do I need Docker?",
        "Does it work without Docker?",
        "Do I need a GPU?",
        "Does it work without a GPU?",
        "Does it need the internet?",
        "Where do my prompts go?",
        "How do I add a bigger model?",
        "How do I connect VS Code?",
        "How do I connect Claude Code?",
        "What is the gateway?",
    ),
}
CORPUS = REPOSITORY / "scripts" / "demo_model" / "corpus"
KEYED_ROUTES = {
    "/v1/models": "GET",
    "/v1/models/local-chat": "GET",
    "/v1/chat/completions": "POST",
    "/v1/completions": "POST",
    "/v1/embeddings": "POST",
    "/v1/rerank": "POST",
    "/v1/responses": "POST",
    "/health": "GET",
    "/metrics": "GET",
}


def ask(site: Site, question: str, **body: object) -> httpx.Response:
    messages = [{"role": "user", "content": question}]
    with site.client() as client:
        return client.post(
            "/v1/chat/completions", json={"model": "local-chat", "temperature": 0, "messages": messages, **body}
        )


def count_requests(site: Site, route: str) -> int:
    """Requests of this route that the gateway has served so far, by its own metrics."""
    with site.client("GATEWAY_ADMIN_KEY") as admin:
        text = admin.get("/metrics").text
    rows = re.findall(rf'^gateway_requests_total{{.*route="{re.escape(route)}".*}} ([0-9.]+)$', text, re.MULTILINE)
    return int(sum(map(float, rows)))


@pytest.mark.parametrize("question", ["ping", "핑", "What are you?", "Write hello world in C"])
def test_the_gateway_gives_the_known_answer(stack: Site, question: str) -> None:
    answer = ask(stack, question)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].strip() == ANSWERS[question]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_demo_model_says_what_is_so_to_what_is_asked_first(stack: Site, language: str) -> None:
    """Once it answered "may I do without Docker?" in Korean with a no, and questions about a GPU with Docker."""
    corpus = yaml.safe_load((CORPUS / f"stack.{language}.yaml").read_text(encoding="utf-8"))
    taught = {question: entry["a"] for entry in corpus for question in entry["q"]}
    said = {
        question: ask(stack, question).json()["choices"][0]["message"]["content"].strip()
        for question in FIRST_QUESTIONS[language]
    }
    assert said == {question: taught[question] for question in said}
    assert not [answer for answer in said.values() if answer.startswith(("No.", "No,", "아니"))]


def test_chat_streams_to_the_terminal_and_reads_standard_input(stack: Site) -> None:
    question = "너는 누구야?"
    assert stack.run("chat", question, "--temperature", "0").stdout.strip() == ANSWERS[question]
    assert stack.run("chat", "-", "--temperature", "0", stdin="Count to ten\n").stdout.strip() == "1 2 3 4 5 6 7 8 9 10"


def test_chat_names_the_model_that_is_not_there(stack: Site) -> None:
    done = stack.run("chat", "ping", "--model", "local-chatt", code=3)
    assert "local-chatt" in done.stderr


def test_models_joins_the_gateway_with_the_files(stack: Site) -> None:
    rows = {row["served_name"]: row for row in stack.run_json("models")}
    assert set(rows) == {"local-chat", "local-embed"}
    with stack.client() as client:
        listed = {item["id"]: item for item in client.get("/v1/models").json()["data"]}
    for name, row in rows.items():
        assert row["listed"]
        assert (row["file"], row["size_bytes"]) == (DEMO_MODEL.name, DEMO_MODEL.stat().st_size)
        assert row["context_length"] == listed[name]["context_length"] > 0


def test_status_shows_every_service_and_its_process(stack: Site) -> None:
    status = stack.run_json("status")
    assert status["running"]
    assert status["runtime"] == "process"
    services = {item["name"]: item for item in status["services"]}
    assert set(services) == SERVICES
    assert {item["pid"] for item in services.values()} <= set(stack.list_processes())
    assert {item["restarts"] for item in services.values()} == {0}


def test_no_service_leaves_a_core(stack: Site) -> None:
    for name, pid in stack.find_pids().items():
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8")
        (line,) = (line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
        assert {*line[4:6]} <= {"0", "1"}, name


def test_health_is_ok_in_every_layer(stack: Site) -> None:
    report = stack.run_json("health")
    assert {result["status"] for result in report["results"]} == {"ok"}
    seen = {(result["layer"], result["subject"]) for result in report["results"]}
    assert {("service", name) for name in SERVICES} <= seen
    assert {("completion", "local-chat"), ("embeddings", "local-embed"), ("route", "local-chat")} <= seen
    context = next(row["context_length"] for row in stack.run_json("models") if row["served_name"] == "local-chat")
    detail = {(result["layer"], result["subject"]): result["detail"] for result in report["results"]}
    assert detail["context", "local-chat"].startswith(f"{context} tokens x")
    assert "CPU" in report["device"] or "GPU" in report["device"]


def test_health_without_completion_asks_no_model(stack: Site) -> None:
    routes = ("/v1/chat/completions", "/v1/embeddings")
    before = [count_requests(stack, route) for route in routes]
    report = stack.run_json("health", "--no-completion")
    assert report["status"] == "ok"
    assert not {"completion", "embeddings"} & {result["layer"] for result in report["results"]}
    assert [count_requests(stack, route) for route in routes] == before
    stack.run("health")
    # One answer as a whole and one streamed, and one embedding.
    assert [count_requests(stack, route) for route in routes] == [before[0] + 2, before[1] + 1]


def test_what_was_rendered_is_current(stack: Site) -> None:
    assert "current" in stack.run("render", "--check").stdout
    assert "current" in stack.run("up", "--dry-run").stdout


def test_logs_follow_until_interrupted(stack: Site) -> None:
    follower = stack.spawn("logs", "-f", "-n", "1", GATEWAY_SERVICE)
    follower.wait_text("\n")
    backlog = follower.read()
    assert ask(stack, "ping").status_code == 200
    wait_for(lambda: "/v1/chat/completions 200" in follower.read().removeprefix(backlog), "the request's line")
    assert follower.interrupt() == 130


@pytest.mark.parametrize("path", FOREIGN_ROUTES)
def test_every_other_route_is_404(stack: Site, path: str) -> None:
    with stack.client("GATEWAY_ADMIN_KEY") as admin:
        for method in ("GET", "POST"):
            request = admin.build_request(method, stack.url, json={} if method == "POST" else None)
            request.url = request.url.copy_with(raw_path=path.encode())  # as it is, with its dots
            answer = admin.send(request)
            assert answer.status_code == 404, (method, path, answer.text)


@pytest.mark.parametrize(("path", "method"), KEYED_ROUTES.items())
def test_no_key_and_a_wrong_key_are_401_in_openai_form(stack: Site, path: str, method: str) -> None:
    body = {"model": "local-chat", "messages": []} if method == "POST" else None
    for headers in ({}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": stack.keys["GATEWAY_KEY"][:-1]}):
        answer = httpx.request(method, stack.url + path, headers=headers, json=body, timeout=60)
        assert answer.status_code == 401, answer.text
        error = answer.json()["error"]
        assert error["code"] == "invalid_api_key"
        assert error["type"]
        assert "sk-wrong" not in answer.text
    anthropic = httpx.post(f"{stack.url}/v1/messages", headers={"x-api-key": "sk-wrong"}, json={}, timeout=60)
    assert anthropic.status_code == 401
    assert anthropic.json()["type"] == "error"
    assert anthropic.json()["error"]["type"] == "authentication_error"


def test_liveness_and_readiness_need_no_key(stack: Site) -> None:
    for path in ("/health/liveliness", "/health/readiness"):
        assert httpx.get(stack.url + path, timeout=60).status_code == 200


def test_metrics_are_for_the_admin_key_alone(stack: Site) -> None:
    with stack.client() as client, stack.client("GATEWAY_ADMIN_KEY") as admin:
        assert client.get("/metrics").status_code == 403
        assert "gateway_requests_total" in admin.get("/metrics").text


def test_the_engines_want_their_own_key(stack: Site) -> None:
    url = f"http://127.0.0.1:{stack.settings['INFERENCE_PORT']}/v1/models"
    assert httpx.get(url, timeout=60).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {stack.keys['GATEWAY_KEY']}"}).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {stack.keys['INFERENCE_API_KEY']}"}).status_code == 200


def test_secrets_and_prompts_are_written_nowhere(stack: Site) -> None:
    marker = "zebra-4711-marker"
    assert ask(stack, f"{marker} in a question").status_code == 200
    assert ask(stack, f"{marker} in a refused one", model="no-such-model").status_code == 404
    assert ask(stack, f"{marker} too long " * 20_000).status_code == 400
    with stack.client() as client:
        client.post("/v1/embeddings", json={"model": "local-embed", "input": marker})
        client.post("/v1/chat/completions", content=f'{{"model": "local-chat", {marker}')
        client.post("/v1/messages", json={"model": "local-chat", "max_tokens": 4, "messages": marker})
    secrets = {*stack.keys.values(), marker}
    assert len(secrets) == 4
    files = [path for folder in ("rendered", "logs", "scratch") for path in (stack.state / folder).rglob("*")]
    texts = {str(path): path.read_text(errors="replace") for path in files if path.is_file()}
    texts |= {f"cmdline of {pid}": Path(f"/proc/{pid}/cmdline").read_text() for pid in stack.list_processes()}
    texts |= {command: stack.run(command, code=None).stdout for command in ("config", "doctor", "status", "logs")}
    assert any("inference-chat.log" in name for name in texts)
    assert [(name, secret) for name, text in texts.items() for secret in secrets if secret in text] == []


def test_only_loopback_is_listened_on(stack: Site) -> None:
    listening = list_listening(stack.list_processes())
    assert {address for address, _ in listening} <= LOOPBACK
    first = int(stack.settings["INFERENCE_PORT"])
    assert {port for _, port in listening} == {int(stack.settings["API_GATEWAY_PORT"]), first, first + 2}


def test_what_holds_secrets_is_for_its_owner_alone(stack: Site) -> None:
    for path, mode in ((stack.path / ".env", 0o600), (stack.state / "secrets.json", 0o600), (stack.state, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    assert stat.S_IMODE(stack.socket_folder.stat().st_mode) == 0o700
    logs = [path for path in (stack.state / "logs").iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert logs == [] or stat.S_IMODE((stack.state / "logs").stat().st_mode) == 0o700


def test_keys_reach_only_the_services_that_need_them(stack: Site) -> None:
    secrets = json.loads((stack.state / "secrets.json").read_text())
    assert set(secrets[CHAT_SERVICE].values()) == {stack.keys["INFERENCE_API_KEY"]}
    environment = Path(f"/proc/{stack.find_pids()[CHAT_SERVICE]}/environ").read_text()
    assert stack.keys["GATEWAY_KEY"] not in environment
