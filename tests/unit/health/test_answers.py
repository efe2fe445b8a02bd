"""Judging completions, streams, embeddings and scores: a real answer is told from anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stackctl.core.health.answers import RERANK_DOCUMENTS, build_question, judge_answer, judge_stream, list_busy
from stackctl.core.health.chat_events import split_lines
from stackctl.core.health.probes import (
    Status,
    judge_model,
    judge_route,
)
from stackctl.core.models.served import ServedModel
from stackctl.core.stack.runtime import Answer
from tests.unit.health.answers import CHAT, DEMO, LOADING, REFUSED, answer, build_model


def completion(text: object, tokens: object = 10) -> Answer:
    return answer({"choices": [{"message": {"content": text}}], "usage": {"completion_tokens": tokens}})


@pytest.mark.parametrize(
    ("model", "seen", "status", "words"),
    [
        (DEMO, completion("pong"), Status.OK, "known answer 'pong'"),
        (DEMO, completion("pang"), Status.FAILED, "answered 'pang'; expected 'pong'"),
        (DEMO, completion(""), Status.FAILED, "expected 'pong'"),
        (CHAT, completion("anything"), Status.OK, "answered 'anything'"),
        (CHAT, completion(" \n"), Status.FAILED, "answered nothing"),
        (CHAT, completion(None), Status.FAILED, "answered nothing"),
        (CHAT, answer({"choices": [{"message": {"reasoning_content": "hm"}}]}), Status.OK, "answered 'hm'"),
        (CHAT, answer({"choices": [{"message": {"content": "x"}}], "usage": None}), Status.OK, "answered 'x'"),
        (CHAT, answer({"choices": []}), Status.FAILED, "the gateway answered 200"),
        (CHAT, Answer(200, "<html>"), Status.FAILED, "the gateway answered 200: '<html>'"),
        (CHAT, answer({"error": {"message": "no such model"}}, 400), Status.FAILED, "answered 400: 'no such model'"),
        (CHAT, LOADING, Status.LOADING, "loading"),
        (CHAT, REFUSED, Status.SKIPPED, "Connection refused"),
        (CHAT, Answer(0, error="no answer within 60 s"), Status.FAILED, "within 60 s"),
    ],
)
def test_a_completion_must_be_a_real_one(model: ServedModel, seen: Answer, status: Status, words: str) -> None:
    result = judge_answer(model, seen, "pong")
    assert result.status is status
    assert words in result.detail


def test_an_answer_of_a_word_tells_no_speed() -> None:
    """Its time is the way's and the prompt's: '6 tokens/s' was said of a model that makes 1000."""
    assert judge_answer(CHAT, completion("ready"), "pong").detail == "answered 'ready'"


def events(*deltas: dict[str, object], end: str = "data: [DONE]\n\n") -> Answer:
    lines = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
    return Answer(200, "".join(lines) + end, elapsed_s=2.0)


@pytest.mark.parametrize(
    ("model", "seen", "status", "words"),
    [
        (DEMO, events({"role": "assistant"}, {"content": "po"}, {"content": "ng"}), Status.OK, "in pieces"),
        (DEMO, events({"content": "pang"}), Status.FAILED, "answered 'pang'; expected 'pong'"),
        (CHAT, events({"content": "anything"}), Status.OK, "in pieces"),
        (CHAT, events({"reasoning_content": "hm"}), Status.OK, "in pieces"),
        (CHAT, events({"role": "assistant"}), Status.FAILED, "answered nothing"),
        (CHAT, events({"content": "half"}, end=""), Status.FAILED, "without its end mark"),
        (
            CHAT,
            events({"content": "x"}, end='data: {"error": {"message": "gone"}}\n'),
            Status.FAILED,
            "broke off: gone",
        ),
        (CHAT, events(end="data: 5\n"), Status.FAILED, "broke off"),
        (CHAT, answer({"error": {"message": "Cannot connect"}}, 503), Status.FAILED, "503: 'Cannot connect'"),
        (CHAT, LOADING, Status.LOADING, "loading"),
        (CHAT, Answer(0, error="no answer within 60 s"), Status.FAILED, "within 60 s"),
    ],
)
def test_a_streamed_answer_must_be_whole(model: ServedModel, seen: Answer, status: Status, words: str) -> None:
    result = judge_stream(model, seen, "pong")
    assert result.status is status
    assert words in result.detail
    assert status is not Status.FAILED or result.hint == "run 'stackctl restart api-gateway'"


@pytest.mark.parametrize(
    ("vector", "status"),
    [
        ("[0.1, -0.2]", Status.OK),
        ("[]", Status.FAILED),
        ("[0.0, 0.0]", Status.FAILED),
        ("[0.1, NaN]", Status.FAILED),
        ("[Infinity, 1]", Status.FAILED),
        ('["a"]', Status.FAILED),
        ("null", Status.FAILED),
    ],
)
def test_an_embedding_must_be_numbers_that_mean_something(vector: str, status: Status) -> None:
    seen = Answer(200, f'{{"data": [{{"embedding": {vector}}}]}}')
    assert judge_answer(build_model("embedding"), seen, "").status is status


@pytest.mark.parametrize(("count", "status"), [(2, Status.OK), (1, Status.FAILED), (0, Status.FAILED)])
def test_reranking_must_score_each_document(count: int, status: Status) -> None:
    seen = answer({"results": [{"index": index, "relevance_score": 0.5} for index in range(count)]})
    assert len(RERANK_DOCUMENTS) == 2
    assert judge_answer(build_model("rerank"), seen, "").status is status


keys = [
    "data",
    "id",
    "embedding",
    "choices",
    "message",
    "delta",
    "content",
    "usage",
    "completion_tokens",
    "results",
    "error",
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda item: st.lists(item, max_size=3) | st.dictionaries(st.sampled_from(keys), item, max_size=4),
    max_leaves=8,
)


@given(json_values, st.sampled_from([200, 400, 503]))
@example({"data": None, "results": None, "default_generation_settings": None}, 200)
@example({"data": [5], "results": [5]}, 200)
@example({"data": {"a": 1}, "results": {"a": 1}}, 200)
@example({"data": [{"embedding": [10**400]}]}, 200)
@example({"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": "many"}}, 200)
@example({"error": {"message": None}}, 400)
def test_no_answer_crashes_the_judge(body: object, status: int) -> None:
    """Another program may hold the port and answer anything."""
    seen = answer(body, status)
    judge_model(CHAT, seen)
    judge_route("m", seen)
    for mode in ("chat", "embedding", "rerank"):
        judge_answer(build_model(mode), seen, "pong")


@given(json_values)
def test_no_stream_crashes_the_judge(body: object) -> None:
    for text in (json.dumps(body), f"data: {json.dumps(body)}\n\ndata: [DONE]"):
        judge_stream(CHAT, Answer(200, text), "pong")


@pytest.mark.parametrize(
    ("model", "path", "is_known"),
    [(DEMO, "/v1/chat/completions", True), (CHAT, "/v1/chat/completions", False)],
)
def test_the_question_asks_for_few_tokens_and_always_the_same(model: ServedModel, path: str, is_known: bool) -> None:
    seen, body = build_question(model, "ping")
    assert (seen, body["temperature"]) == (path, 0)
    assert body["max_tokens"] <= 64
    assert (body["messages"][0]["content"] == "ping") is is_known


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_answer_may_hold_what_python_takes_for_the_end_of_a_line(end: str) -> None:
    said = "one\u2028two\x85three"
    event = json.dumps({"choices": [{"delta": {"content": said}}]}, ensure_ascii=False)
    text = end.join([f"data: {event}", "", "data: [DONE]", ""])
    pieces = [text[index : index + 3] for index in range(0, len(text), 3)]
    assert list(split_lines(pieces)) == list(split_lines([text])) == text.removesuffix(end).split(end)
    assert judge_stream(DEMO, Answer(200, text), said).status is Status.OK


def lines(leased: int, waiting: int = 0) -> Answer:
    return answer({"slots": {CHAT.service: {"slots": 4, "leased": leased, "waiting": waiting}}})


def test_a_model_whose_slots_are_all_taken_is_busy_and_asked_for_none() -> None:
    results = list_busy(CHAT, lines(4, 7), answer([]))
    assert [(item.layer, item.status) for item in results] == [("completion", Status.OK), ("stream", Status.OK)]
    assert results[0].detail == "busy: all 4 slots are taken, 7 requests wait"


def test_an_engine_that_hangs_on_all_its_slots_is_not_called_busy() -> None:
    results = list_busy(CHAT, lines(4), Answer(0, error="no answer within 5 s"))
    assert {item.status for item in results} == {Status.FAILED}
    assert "within 5 s" in results[0].detail


@pytest.mark.parametrize("health", [lines(3), answer({}), answer({"slots": []}), REFUSED, Answer(401, "")])
def test_a_model_with_a_free_slot_or_unknown_ones_is_asked(health: Answer) -> None:
    assert list_busy(CHAT, health, answer([])) == ()
