"""What came back for a tool's request, and whether the tool can go on with it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stackctl.core.connect.shapes import Shape
from stackctl.core.stack.runtime import Answer

# The event that ends a stream well, as it stands in its bytes.
_ENDS = {"chat": "data: [DONE]", "messages": "event: message_stop"}
_RESPONSE_ENDS = ("event: response.completed", "event: response.incomplete")
_FIELDS = {"chat": "choices", "messages": "content", "responses": "output", "embeddings": "data"}
_SHOWN = 200


def judge(shape: Shape, answer: Answer) -> str:
    """Why a tool cannot go on with this answer; empty when it can."""
    if not answer.status:
        return answer.error
    value = _read(answer.body)
    if answer.status != 200:
        words = _find_words(value)
        if shape.wanted == "words" and words and 400 <= answer.status < 500:
            return ""
        return f"{answer.status}: {words or repr(answer.body[:_SHOWN])}"
    match shape.wanted:
        case "stream":
            return _judge_stream(shape, answer.body)
        case "count":
            return "" if isinstance(value.get("input_tokens"), int) else "no input_tokens"
        case _:
            field = _FIELDS[shape.wire]
            return "" if value.get(field) else f"an answer without {field}"


def _judge_stream(shape: Shape, body: str) -> str:
    if "event: error" in body or 'data: {"error"' in body:
        line = next((line for line in body.splitlines() if "error" in line and line.startswith("data:")), "")
        return f"it broke off: {_find_words(_read(line.removeprefix('data:'))) or line[:_SHOWN]}"
    ends = _RESPONSE_ENDS if shape.wire == "responses" else (_ENDS[shape.wire],)
    return "" if any(end in body for end in ends) else "the stream ended without its last event"


def _read(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, Mapping) else {}


def _find_words(value: Mapping[str, Any]) -> str:
    error = value.get("error")
    words = error.get("message") if isinstance(error, Mapping) else None
    return words if isinstance(words, str) else ""
