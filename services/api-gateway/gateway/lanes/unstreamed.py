"""Whole answers of servers that were asked for a stream and know none, as the stream that they stand for. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.lanes.sse import write_event
from gateway.outcomes import BROKEN_ANSWER, TargetError

_DONE = b"data: [DONE]\n\n"


def write_whole(body: bytes) -> bytes:
    """One chunk with the whole of a chat or text completion, its usage, and the terminal event.

    Raises:
        TargetError: the body is no completion, or one without an answer. An error passes, for the reader to find.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TargetError(BROKEN_ANSWER) from error
    if not isinstance(value, dict):
        raise TargetError(BROKEN_ANSWER)
    if value.get("error"):
        return write_event(value)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise TargetError(BROKEN_ANSWER)
    usage = value.pop("usage", None)
    chunk = {**value, "object": "chat.completion.chunk", "choices": [_write_choice(choice) for choice in choices]}
    counted = write_event({**value, "choices": [], "usage": usage}) if isinstance(usage, dict) else b""
    return write_event(chunk) + counted + _DONE


def _write_choice(choice: Any) -> dict[str, Any]:
    if not isinstance(choice, dict) or not choice.get("finish_reason"):
        raise TargetError(BROKEN_ANSWER)
    if isinstance(choice.get("text"), str):
        return choice
    message = choice.get("message")
    if not isinstance(message, dict) or not (isinstance(message.get("content"), str) or message.get("tool_calls")):
        raise TargetError(BROKEN_ANSWER)
    calls = [{**call, "index": place} for place, call in enumerate(message.get("tool_calls") or ())]
    delta = {**message, "tool_calls": calls} if calls else message
    return {**{name: item for name, item in choice.items() if name != "message"}, "delta": delta}
