"""Whether a tool could go on with what came back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.connect.shapes import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Shape
from stackctl.core.connect.verdict import judge
from stackctl.core.stack.runtime import Answer

SHAPES = (*CHAT, *MESSAGES, *RESPONSES, *EMBEDDINGS)
WORDS = '{"error": {"message": "no pictures here"}}'


def pick(wanted: str, wire: str) -> Shape:
    return next(shape for shape in SHAPES if (shape.wanted, shape.wire) == (wanted, wire))


@pytest.mark.parametrize(
    ("wanted", "wire", "body"),
    [
        ("stream", "chat", 'data: {"choices": []}\n\ndata: [DONE]\n\n'),
        ("stream", "messages", "event: message_stop\ndata: {}\n\n"),
        ("stream", "responses", "event: response.completed\ndata: {}\n\n"),
        ("stream", "responses", "event: response.incomplete\ndata: {}\n\n"),
        ("answer", "chat", '{"choices": [{}]}'),
        ("answer", "messages", '{"content": [{}]}'),
        ("count", "messages", '{"input_tokens": 3}'),
        ("vectors", "embeddings", '{"data": [{}]}'),
        ("words", "chat", '{"choices": [{}]}'),
    ],
)
def test_what_a_tool_can_go_on_with(wanted: str, wire: str, body: str) -> None:
    assert judge(pick(wanted, wire), Answer(200, body)) == ""


@pytest.mark.parametrize(
    ("wanted", "wire", "answer", "said"),
    [
        ("stream", "chat", Answer(0, error="refused"), "refused"),
        ("stream", "chat", Answer(200, 'data: {"choices": []}\n\n'), "without its last event"),
        ("stream", "chat", Answer(200, 'data: {"error": {"message": "gone"}}\n\n'), "it broke off: gone"),
        ("stream", "messages", Answer(200, 'event: error\ndata: {"error": {"message": "gone"}}\n\n'), "off: gone"),
        ("stream", "responses", Answer(200, "event: response.failed\ndata: {}\n\n"), "without its last event"),
        ("answer", "chat", Answer(200, "<html>"), "without choices"),
        ("answer", "messages", Answer(200, '{"content": []}'), "without content"),
        ("count", "messages", Answer(200, "{}"), "no input_tokens"),
        ("answer", "chat", Answer(404, WORDS), "404: no pictures here"),
        ("words", "chat", Answer(500, WORDS), "500: no pictures here"),
        ("words", "chat", Answer(400, "{}"), "400: '{}'"),
    ],
)
def test_what_stops_it(wanted: str, wire: str, answer: Answer, said: str) -> None:
    assert said in judge(pick(wanted, wire), answer)


def test_a_refusal_in_words_is_as_good_as_an_answer_to_a_picture() -> None:
    assert judge(pick("words", "chat"), Answer(400, WORDS)) == ""


@given(st.sampled_from(SHAPES), st.sampled_from([0, 200, 400, 502]), st.text())
def test_any_answer_is_judged(shape: Shape, status: int, body: str) -> None:
    assert isinstance(judge(shape, Answer(status, body)), str)
