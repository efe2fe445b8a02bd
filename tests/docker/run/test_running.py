"""A stack that ``up`` brought up in containers: real clients are answered, and every command says what is so."""

from __future__ import annotations

import json
import shutil

import anthropic
import httpx
import openai
import pytest

from tests.docker.sites import ANSWERS, REPOSITORY, Site, run_inside

pytestmark = pytest.mark.docker
TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def openai_client(running: Site) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.keys["GATEWAY_KEY"], timeout=TIMEOUT_S)


@pytest.mark.parametrize("question", ["ping", "What are you?", "너는 누구야?"])
def test_a_known_question_has_its_known_answer(openai_client: openai.OpenAI, question: str) -> None:
    done = openai_client.chat.completions.create(
        model="local-chat", messages=[{"role": "user", "content": question}], temperature=0
    )
    assert done.choices[0].message.content == ANSWERS[question]
    assert done.usage is not None
    assert done.usage.completion_tokens > 0


def test_a_streamed_answer_comes_in_pieces(openai_client: openai.OpenAI) -> None:
    stream = openai_client.chat.completions.create(
        model="local-chat", messages=[{"role": "user", "content": "Count to ten"}], temperature=0, stream=True
    )
    pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 5
    assert "".join(pieces) == ANSWERS["Count to ten"]


def test_embeddings_depend_on_the_text_alone(openai_client: openai.OpenAI) -> None:
    done = openai_client.embeddings.create(model="local-embed", input=["ping", "Count to ten", "ping"])
    first, other, again = (item.embedding for item in done.data)
    assert len(first) > 1
    assert first == pytest.approx(again, abs=1e-4)
    assert first != pytest.approx(other, abs=1e-2)


def test_the_messages_api_answers(running: Site) -> None:
    client = anthropic.Anthropic(base_url=running.url, api_key=running.keys["GATEWAY_KEY"], timeout=TIMEOUT_S)
    question: anthropic.types.MessageParam = {"role": "user", "content": "ping"}
    done = client.messages.create(model="local-chat", max_tokens=64, messages=[question], extra_body={"temperature": 0})
    assert [block.text for block in done.content if block.type == "text"] == [ANSWERS["ping"]]


def test_without_its_key_nobody_is_answered(running: Site) -> None:
    for headers in ({}, {"Authorization": "Bearer sk-wrong"}):
        answer = httpx.get(f"{running.url}/v1/models", headers=headers, timeout=TIMEOUT_S)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_health_finds_every_layer_well(running: Site) -> None:
    code, report = running.load_health()
    assert code == 0, json.dumps(report, indent=1)
    assert {result["status"] for result in report["results"]} == {"ok"}, report
    seen = {(result["layer"], result["subject"]) for result in report["results"]}
    # Engines publish no port, so these answers came from inside their containers.
    assert {("port", "inference-chat"), ("engine", "inference-chat"), ("context", "local-chat")} <= seen
    assert {("engine", "inference-embed"), ("completion", "local-chat"), ("embeddings", "local-embed")} <= seen
    assert {("service", "api-gateway"), ("gateway", "api-gateway"), ("route", "local-chat")} <= seen
    assert report["runtime"] == "compose"


def test_status_names_the_services_with_their_processes(running: Site) -> None:
    report = json.loads(running.run_well("status", "--json").stdout)
    containers = running.list_containers()
    assert {item["name"]: item["pid"] for item in report["services"]} == {
        name: container.attrs["State"]["Pid"] for name, container in containers.items()
    }
    assert {item["phase"] for item in report["services"]} <= {"running", "starting"}


def test_models_joins_what_is_listed_with_the_file(running: Site) -> None:
    rows = {row["served_name"]: row for row in json.loads(running.run_well("models", "--json").stdout)}
    assert set(rows) == {"local-chat", "local-embed"}
    chat = rows["local-chat"]
    assert (chat["listed"], chat["file"], chat["slots"]) == (True, "demo.gguf", 4)
    assert chat["context_length"] > 0


def test_logs_are_those_of_the_service_asked_for(running: Site) -> None:
    text = running.run_well("logs", "api-gateway").stdout
    assert text.strip()
    assert all(line.startswith("api-gateway | ") for line in text.splitlines())
    refused = running.run("logs", "api-gatewya")
    assert refused.code == 3
    assert "did you mean 'api-gateway'?" in refused.stderr


def test_chat_prints_the_answer(running: Site) -> None:
    assert running.run_well("chat", "ping").stdout.strip() == ANSWERS["ping"]


def test_a_second_up_changes_nothing(running: Site) -> None:
    before = running.list_ids()
    done = running.run_well("up")
    assert "nothing had to change" in done.stdout
    assert running.list_ids() == before


def test_another_model_file_of_the_same_name_is_noticed_and_served_by_up(stopped: Site) -> None:
    model = stopped.folder / "models" / "chat.gguf"
    shutil.copy(REPOSITORY / "models" / "demo.gguf", model)
    stopped.set(CHAT_MODEL=model.name)
    stopped.run_well("up")
    before = stopped.list_containers()
    other = model.with_suffix(".other")
    shutil.copy(model, other)
    other.replace(model)
    code, report = stopped.load_health()
    found = {item["layer"]: item for item in report["results"] if item["subject"] == "local-chat"}
    assert (code, found["model"]["detail"]) == (6, "chat.gguf is another file than the one that was loaded")
    stopped.run_well("up")
    after = stopped.list_containers()
    assert after["inference-chat"].attrs["State"]["Pid"] != before["inference-chat"].attrs["State"]["Pid"]
    assert after["api-gateway"].attrs["State"]["Pid"] == before["api-gateway"].attrs["State"]["Pid"]
    seen = run_inside(after["inference-chat"], "stat", "-c", "%i", "/models/chat.gguf")
    assert seen == (0, str(model.stat().st_ino)), "the container sees the file that is there now"
    assert stopped.load_health()[0] == 0


def test_names_in_the_environment_that_compose_reads_change_nothing(running: Site) -> None:
    """COMPOSE_PROJECT_NAME wins over a file's own name, unless the command says one."""
    before = running.list_ids()
    done = running.run("up", environment={"COMPOSE_PROJECT_NAME": f"{running.name}-other", "COMPOSE_FILE": "none.yml"})
    assert done.code == 0, done.text
    assert running.list_ids() == before
