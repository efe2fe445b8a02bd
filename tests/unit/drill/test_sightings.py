"""What a client makes of answers in each format: complete, begun and broken off, refused, malformed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackctl.core.drill.asks import Ask, ClientFormat, list_asks
from stackctl.core.drill.behaviour import Behaviour, Send, StandInRequest
from stackctl.core.drill.replies import build_reply
from stackctl.core.drill.sightings import Received, Sighting, read_sighting

EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}


def see(kind: ClientFormat, text: str, *, streamed: bool = True, status: int = 200) -> Sighting:
    headers = EVENTS if streamed and status == 200 else JSON
    return read_sighting(Ask(kind, streamed, "m"), Received(status, headers, text, 0.1))


def write_events(*values: Any, names: bool = False) -> str:
    return "".join(
        (f"event: {value['type']}\n" if names else "") + f"data: {json.dumps(value)}\n\n" for value in values
    )


def chunk(content: str) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": content}}]}


@pytest.mark.parametrize("ask", list_asks("m", "chat", "completions", "messages", "embeddings", "rerank"), ids=str)
def test_a_right_answer_of_a_provider_is_complete(ask: Ask) -> None:
    request = StandInRequest("POST", ask.path, {}, json.dumps(ask.body).encode())
    sent = b"".join(step.data for step in build_reply(request, Behaviour()) if isinstance(step, Send))
    head, _, body = sent.decode().partition("\r\n\r\n")
    if ask.is_streamed:
        body = "".join(part for part in body.split("\r\n")[1::2])
    headers = EVENTS if "event-stream" in head else JSON
    seen = read_sighting(ask, Received(200, headers, body, 0.1))
    assert seen.is_complete
    assert not seen.malformed
    assert len(seen.models) == 1
    assert seen.text == "one two three four" or ask.format in ("embeddings", "rerank")


def test_responses_are_read_whole_and_as_events() -> None:
    content = [{"type": "output_text", "text": "one two"}]
    whole = {"model": "m", "status": "completed", "output": [{"type": "message", "content": content}]}
    assert see("responses", json.dumps(whole), streamed=False) == Sighting(True, "one two", ("m",))
    events = write_events(
        {"type": "response.created", "response": {"model": "m"}},
        {"type": "response.output_text.delta", "delta": "one"},
        {"type": "response.completed", "response": {"model": "m"}},
        names=True,
    )
    assert see("responses", events) == Sighting(True, "one", ("m",))
    failed = write_events({"type": "response.failed", "response": {"error": {"code": "c", "message": "s"}}})
    assert see("responses", failed) == Sighting(code="c", message="s")


def test_a_stream_without_its_end_is_not_complete() -> None:
    assert see("chat", write_events(chunk("one"))) == Sighting(text="one", models=("m",))
    started = {"type": "message_start", "message": {"model": "m"}}
    assert see("messages", write_events(started, names=True)) == Sighting(models=("m",))


def test_an_error_event_is_an_error_and_ends_the_stream() -> None:
    error = {"error": {"message": "s", "type": "server_error", "param": None, "code": "upstream_error"}}
    assert see("chat", write_events(chunk("one"), error)).code == "upstream_error"
    assert see("chat", write_events(error, chunk("one"))).malformed == "events follow the end"
    assert see("chat", write_events(error) + "data: [DONE]\n\n").malformed == "events follow the end"
    event = {"type": "error", "error": {"type": "api_error", "message": "s"}}
    assert see("messages", write_events(event, names=True)) == Sighting(code="api_error", message="s")


@pytest.mark.parametrize(
    ("kind", "text", "malformed"),
    [
        ("chat", "data: {\n\n", "an event's data is no JSON"),
        ("chat", 'data: {"choices": []}', "the last event is not ended"),
        ("messages", 'event: ping\ndata: {"type": "pong"}\n\n', "event 'ping' with data of type 'pong'"),
        ("chat", 'data: {"error": {"message": "s"}}\n\n', "an error with message"),
    ],
)
def test_what_is_not_as_the_format_wants_it_is_told(kind: ClientFormat, text: str, malformed: str) -> None:
    assert see(kind, text).malformed == malformed


def test_every_name_of_a_model_is_kept_once() -> None:
    other = {**chunk("two"), "model": "n"}
    assert see("chat", write_events(chunk("one"), other, chunk("three"))).models == ("m", "n")


def test_errors_have_the_form_of_their_format() -> None:
    openai = {"error": {"message": "s", "type": "server_error", "param": None, "code": "c"}}
    assert see("chat", json.dumps(openai), status=503) == Sighting(code="c", message="s")
    assert "an error with" in see("messages", json.dumps({"type": "error", **openai}), status=503).malformed
    assert see("chat", "<html>", status=503).malformed == "the body is no JSON"
    assert see("chat", '{"detail": "x"}', status=503).malformed == "there is no error object"
    assert "'choices'" in see("chat", "{}", streamed=False).malformed


def test_a_stream_that_is_none_is_malformed() -> None:
    seen = read_sighting(Ask("chat", True, "m"), Received(200, JSON, "{}", 0.1))
    assert "no stream of events" in seen.malformed
