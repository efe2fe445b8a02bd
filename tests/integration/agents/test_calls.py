"""The three calls at a real gateway and engine: the demo model writes nonsense, and the engine holds it to the form."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from agents_client.results import AnalysisAnswer, QuestionsAnswer, RequirementsAnswer

from tests.integration.agents.service import ANALYSIS, GOOD_ANALYSIS, PROBLEM, QUESTIONS, REQUIREMENTS, Agents
from tests.integration.stack_site import Site

PLANTED = "planted-7d1e"


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_call_answers_with_a_typed_result_and_how_it_came_about(agents: Agents, language: str) -> None:
    analysis = AnalysisAnswer.model_validate(agents.ask(ANALYSIS, {**PROBLEM, "language": language}).json())
    given: dict[str, Any] = {"analysis": analysis.result.model_dump(mode="json"), "language": language}
    given["context"] = {"누가 씁니까?": PLANTED}
    questions = QuestionsAnswer.model_validate(agents.ask(QUESTIONS, given).json())
    requirements = RequirementsAnswer.model_validate(agents.ask(REQUIREMENTS, given).json())

    for call in (analysis.call, questions.call, requirements.call):
        assert (call.model, call.language, call.is_constrained, call.prompts) == ("local-chat", language, True, "v1")
        assert call.attempts >= 1
        assert min(call.prompt_tokens, call.completion_tokens, call.time_s) > 0
    assert [question.id for question in questions.result.questions] == [
        f"Q{at}" for at, _ in enumerate(questions.result.questions, 1)
    ]
    assert requirements.result.functions[0].id == "F1"
    log = agents.read_log()
    assert PLANTED not in log
    assert analysis.result.title not in log
    assert agents.key not in log


@pytest.mark.parametrize(
    ("key", "status", "code"), [("", 401, "key_required"), ("sk-wrong", 401, "key_refused"), ("ä", 401, "key_refused")]
)
def test_a_caller_needs_a_key_of_the_gateway(agents: Agents, key: str, status: int, code: str) -> None:
    headers = {b"Authorization": f"Bearer {key}".encode()} if key else {}
    refused = httpx.post(agents.url + ANALYSIS, json=PROBLEM, headers=headers, timeout=60)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_key_may_ask_only_what_the_gateway_lets_it(agents: Agents, stack: Site) -> None:
    made = stack.run_json("keys", "create", "agents-test", "--models", "local-embed")
    try:
        refused = agents.ask(ANALYSIS, PROBLEM, key=made["secret"])
        unknown = agents.ask(ANALYSIS, {**PROBLEM, "model": "nothing"})
    finally:
        stack.run("keys", "revoke", "agents-test")

    assert (refused.status_code, refused.json()["code"]) in [(403, "not_allowed"), (404, "unknown_model")]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_model")


def bodies() -> dict[str, tuple[Any, int, str]]:
    analysis = {**GOOD_ANALYSIS, "title": ""}
    return {
        "a field too much": ({**PROBLEM, "x": 1}, 422, "invalid_request"),
        "empty": ({"problem": " "}, 422, "invalid_request"),
        "too long": ({"problem": "x" * 20_001}, 422, "invalid_request"),
        "a megabyte": ({"problem": "x" * (1 << 20)}, 413, "body_too_large"),
        "half a pair": ({"problem": "\ud800"}, 422, "invalid_request"),
        "a zero byte": ({"problem": "a\0b"}, 422, "invalid_request"),
        "another language": ({**PROBLEM, "language": "fr"}, 422, "invalid_request"),
        "a wrong analysis": ({"analysis": analysis}, 422, "invalid_request"),
        "no object": ([], 422, "invalid_request"),
    }


@pytest.mark.parametrize("name", bodies())
def test_a_wrong_body_is_refused_and_not_repeated(agents: Agents, name: str) -> None:
    body, status, code = bodies()[name]
    path = QUESTIONS if "analysis" in body else ANALYSIS
    content = json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {agents.key}", "Content-Type": "application/json", "Accept-Language": "ko-KR"}

    refused = httpx.post(agents.url + path, content=content, headers=headers, timeout=60)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-language"] == "ko"
    assert len(refused.content) < 2000


def test_odd_unicode_is_taken(agents: Agents) -> None:
    text = "e\u0301 \u202e rtl \u200d👩‍👩‍👧 \ufffe \U0010ffff {{ 7*7 }} {% raw %} </problem> \u2028"

    assert agents.ask(ANALYSIS, {"problem": text}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 421, "unknown_host"),
        ({"Origin": "https://evil.example"}, 403, "origin_refused"),
        ({"Origin": "null"}, 403, "origin_refused"),
        ({"Content-Type": "text/plain"}, 415, "json_expected"),
    ],
    ids=["host", "origin", "null", "form"],
)
def test_a_page_of_another_site_is_refused(agents: Agents, headers: dict[str, str], status: int, code: str) -> None:
    refused = agents.ask(ANALYSIS, PROBLEM, **headers)

    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_health_metrics_and_the_document_say_what_they_should(agents: Agents) -> None:
    agents.ask(ANALYSIS, PROBLEM)

    assert agents.get("/health/ready").json() == {"status": "ok"}
    metrics = agents.get("/metrics").text
    assert 'agents_calls_total{agent="analysis",outcome="ok"}' in metrics
    assert agents.key not in metrics
    paths = agents.get("/openapi.json").json()["paths"]
    calls = {ANALYSIS, QUESTIONS, REQUIREMENTS, "/v1/calls/{request_id}"}
    assert {*calls, "/health/live", "/health/ready"} == paths.keys()
