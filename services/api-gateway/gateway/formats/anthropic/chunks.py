"""Anthropic's events as chat chunks. Pure.

Ours: LiteLLM's reader makes a chunk of every event, also of those that say nothing, estimates how many tokens of the
answer were thoughts, and takes ten times the CPU; see docs/decisions/litellm-as-a-library.md.

Source: Anthropic's API reference, "Streaming Messages".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway.outcomes import BROKEN_ANSWER, RATE_LIMITED, SERVER_ERROR, TargetError

# A reason that is not known means that the answer ended as the model wanted.
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_INPUT_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class AnthropicChunks:
    """Reads one answer.

    Args:
        names: the client's names of tools by those that the request had.
        json_tool: name of the tool whose input is the answer itself; empty where there is none.

    Attributes:
        has_content: whether something of the answer itself was there.
        is_done: whether ``message_stop``, the format's terminal event, was seen after a reason to stop.
        usage: what the server counted so far, in OpenAI's words; None before it counted anything.
    """

    def __init__(self, names: Mapping[str, str] | None = None, json_tool: str = "") -> None:
        self.has_content = False
        self.is_done = False
        self.usage: dict[str, Any] | None = None
        self._names = names or {}
        self._json_tool = json_tool
        self._head: dict[str, Any] = {"object": "chat.completion.chunk"}
        self._counted: dict[str, Any] = {}
        self._calls: dict[int, int] = {}  # place among the calls, by the block's index
        self._silent_calls: set[int] = set()  # blocks of calls that have no arguments yet
        self._json_block: int | None = None
        self._reason = ""
        self._readers = {
            "message_start": self._begin,
            "content_block_start": self._open_block,
            "content_block_delta": self._extend_block,
            "content_block_stop": self._close_block,
            "message_delta": self._take_reason,
            "message_stop": self._end,
            "error": self._fail,
        }

    def read_event(self, name: str, value: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The chunks of one event; none for those that say nothing of the answer.

        Raises:
            TargetError: the event is the server's error, or the stream ends without an answer.
            KeyError, TypeError, AttributeError: the event is not in Anthropic's form.
        """
        if value is None:
            return []
        reader = self._readers.get(value.get("type") or name)
        return [] if reader is None else reader(value)

    def _begin(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        message = event["message"]
        self._head |= {"id": message["id"], "created": int(time.time()), "model": message["model"]}
        self._counted = dict(message.get("usage") or {})
        self._count()
        return [self._build({"role": "assistant", "content": None})]

    def _open_block(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        block, index = event["content_block"], event["index"]
        if block["type"] == "text" and block.get("text"):
            return self._say({"content": block["text"]})
        if block["type"] == "thinking" and block.get("thinking"):
            return self._say({"reasoning_content": block["thinking"]})
        if block["type"] != "tool_use":
            return []
        self._silent_calls.add(index)
        if block["name"] == self._json_tool:
            self._json_block = index
            return []
        self._calls[index] = len(self._calls)
        name = self._names.get(block["name"], block["name"])
        call = {"id": block["id"], "type": "function", "function": {"name": name, "arguments": ""}}
        return self._say({"tool_calls": [{"index": self._calls[index], **call}]})

    def _extend_block(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        delta = event["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return self._say({"content": text}) if (text := _read_text(delta, "text")) else []
        if kind == "thinking_delta":
            return self._say({"reasoning_content": text}) if (text := _read_text(delta, "thinking")) else []
        if kind == "input_json_delta" and (piece := _read_text(delta, "partial_json")):
            self._silent_calls.discard(event["index"])
            return self._write_arguments(event["index"], piece)
        return []

    def _write_arguments(self, index: int, piece: str) -> list[dict[str, Any]]:
        if index == self._json_block:
            return self._say({"content": piece})
        if index not in self._calls:  # of a tool that runs at the provider
            return []
        return self._say({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})

    def _close_block(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A call that got no arguments has none, which is ``{}`` in JSON."""
        index = event["index"]
        if index not in self._silent_calls:
            return []
        self._silent_calls.discard(index)
        return self._write_arguments(index, "{}")

    def _take_reason(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._counted |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
        self._count()
        reason = event["delta"].get("stop_reason")
        if not reason:
            return []
        self._reason = _FINISH_REASONS.get(reason, "stop")
        if self._reason == "tool_calls" and not self._calls:
            self._reason = "stop"  # the only call was the answer itself
        return [self._build({}, self._reason)]

    def _end(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not self._reason:
            raise TargetError(BROKEN_ANSWER)
        self.is_done = self.has_content = True
        return [{**self._head, "choices": [], "usage": self.usage}]

    def _count(self) -> None:
        if self._counted:
            self.usage = _build_usage(self._counted)

    def _fail(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        kind = (event.get("error") or {}).get("type")
        raise TargetError(RATE_LIMITED if kind == "rate_limit_error" else SERVER_ERROR)

    def _say(self, delta: dict[str, Any]) -> list[dict[str, Any]]:
        self.has_content = True
        return [self._build(delta)]

    def _build(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def _read_text(delta: Mapping[str, Any], name: str) -> str:
    text = delta[name]
    if not isinstance(text, str):
        raise TargetError(BROKEN_ANSWER)
    return text


def _build_usage(counted: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic's counts in OpenAI's words, whose prompt holds what was read from and written to the cache."""
    prompt = sum(counted.get(name) or 0 for name in _INPUT_COUNTS)
    written = counted.get("output_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": counted.get("cache_read_input_tokens") or 0},
    }
