"""What a client saw of one answer of the gateway: text, model, end, error. Pure.

In: an answer's status, headers and text as they came. Out: a ``Sighting``, in terms that hold for every format.
Source: OpenAI API reference (chat, completions, embeddings, responses and their events); Anthropic API reference
(messages, streaming, errors).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stackctl.core.drill.asks import Ask, ClientFormat


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as it came.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        headers: values by name in lower case.
        text: the whole body, as far as it came.
        elapsed_s: seconds from the request to the end of the answer.
        broke: how the connection broke; empty when it ended as HTTP wants it.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    elapsed_s: float
    broke: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a client made of an answer.

    Attributes:
        is_complete: whether the answer is one: whole in its format's shape, or ended by its terminal event.
        text: the answer's text; numbers and scores where it has none.
        models: each name of a model in it, once.
        code: the error's code, or its type in Anthropic's format; empty where there is none.
        message: the error's sentence.
        malformed: what is not as the format wants it; empty where all is.
    """

    is_complete: bool = False
    text: str = ""
    models: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    malformed: str = ""


def read_sighting(ask: Ask, received: Received) -> Sighting:
    """What a client of the request's format makes of an answer."""
    is_event_stream = received.headers.get("content-type", "").startswith("text/event-stream")
    if ask.is_streamed and received.status == 200:
        if not is_event_stream:
            return Sighting(malformed=f"the type is {received.headers.get('content-type')!r}, no stream of events")
        return _read_stream(ask.format, received.text)
    try:
        value = json.loads(received.text)
    except ValueError:
        return Sighting(malformed="the body is no JSON")
    if received.status != 200:
        return _read_error(ask.format, value)
    try:
        return _read_whole(ask.format, value)
    except (KeyError, IndexError, TypeError) as error:
        return Sighting(malformed=f"the answer lacks {error}")


def _read_error(kind: ClientFormat, value: Any) -> Sighting:
    """An error body; in a stream, the data of an error event."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return Sighting(malformed="there is no error object")
    expected = {"type", "message"} if kind == "messages" else {"message", "type", "param", "code"}
    has_frame = kind != "messages" or value.get("type") == "error"
    malformed = "" if set(error) == expected and has_frame else f"an error with {', '.join(sorted(error))}"
    code = error.get("type" if kind == "messages" else "code")
    return Sighting(code=str(code or ""), message=str(error.get("message")), malformed=malformed)


def _read_whole(kind: ClientFormat, value: Any) -> Sighting:
    match kind:
        case "chat":
            choice = value["choices"][0]
            text, is_complete = choice["message"]["content"], bool(choice["finish_reason"])
        case "completions":
            choice = value["choices"][0]
            text, is_complete = choice["text"], bool(choice["finish_reason"])
        case "messages":
            text = "".join(block["text"] for block in value["content"])
            is_complete = bool(value["stop_reason"])
        case "responses":
            parts = [part for item in value["output"] if item["type"] == "message" for part in item["content"]]
            text, is_complete = "".join(part["text"] for part in parts), value["status"] == "completed"
        case "embeddings":
            text, is_complete = json.dumps([item["embedding"] for item in value["data"]]), True
        case "rerank":
            text, is_complete = json.dumps([item["relevance_score"] for item in value["results"]]), True
    return Sighting(is_complete, text or "", (str(value.get("model")),))


def _read_stream(kind: ClientFormat, text: str) -> Sighting:
    if text and not text.endswith("\n\n"):
        return Sighting(malformed="the last event is not ended")
    seen = Sighting()
    for name, data in _list_events(text):
        if seen.is_complete or seen.code:
            return replace(seen, malformed="events follow the end")
        if data == "[DONE]":
            seen = replace(seen, is_complete=True)
            continue
        try:
            value = json.loads(data)
        except ValueError:
            return replace(seen, malformed="an event's data is no JSON")
        seen = _READERS[kind](seen, name, value)
    return seen


def _list_events(text: str) -> Iterator[tuple[str, str]]:
    """Name and data of each event; comments, which keep a connection open, are none."""
    for block in text.split("\n\n"):
        pairs = [line.partition(":") for line in block.split("\n") if line and not line.startswith(":")]
        fields = {name: value.removeprefix(" ") for name, _, value in pairs}
        if "data" in fields:
            yield fields.get("event", ""), fields["data"]


def _read_openai_event(seen: Sighting, name: str, value: Any) -> Sighting:
    if "error" in value:
        error = _read_error("chat", value)
        return replace(seen, code=error.code, message=error.message, malformed=error.malformed)
    seen = _note_model(seen, value.get("model"))
    for choice in value.get("choices") or ():
        piece = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        seen = replace(seen, text=seen.text + piece)
    return seen


def _read_anthropic_event(seen: Sighting, name: str, value: Any) -> Sighting:
    if name != value.get("type"):
        return replace(seen, malformed=f"event {name!r} with data of type {value.get('type')!r}")
    match name:
        case "error":
            error = _read_error("messages", value)
            return replace(seen, code=error.code, message=error.message, malformed=error.malformed)
        case "message_start":
            return _note_model(seen, value["message"].get("model"))
        case "content_block_delta":
            return replace(seen, text=seen.text + value["delta"].get("text", ""))
        case "message_stop":
            return replace(seen, is_complete=True)
        case _:
            return seen


def _read_responses_event(seen: Sighting, name: str, value: Any) -> Sighting:
    kind = value.get("type")
    seen = _note_model(seen, (value.get("response") or {}).get("model"))
    match kind:
        case "response.output_text.delta":
            return replace(seen, text=seen.text + value["delta"])
        case "response.completed":
            return replace(seen, is_complete=True)
        case "response.failed":
            error = value["response"].get("error") or {}
            return replace(seen, code=str(error.get("code")), message=str(error.get("message")))
        case "error":
            return replace(seen, code=str(value.get("code")), message=str(value.get("message")))
        case _:
            return seen


def _note_model(seen: Sighting, model: Any) -> Sighting:
    if model is None or str(model) in seen.models:
        return seen
    return replace(seen, models=(*seen.models, str(model)))


_READERS = {
    "chat": _read_openai_event,
    "completions": _read_openai_event,
    "messages": _read_anthropic_event,
    "responses": _read_responses_event,
}
