"""Read Anthropic's stream for a client that wants just that. Pure: bytes in, bytes out."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import ApiError
from gateway.lanes.readers import Usage
from gateway.lanes.sse import iterate_json, write_event
from gateway.outcomes import SERVER_ERROR, TargetError

# Deltas of a block, and the field of the block that they lengthen.
_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}

_EMPTY_AT_FIRST = frozenset({"text", "thinking"})


class AnthropicReader:
    """Passes Anthropic's events, with the model's name as it was asked for, or collects them to one message."""

    def __init__(self, asked: str, is_streamed: bool) -> None:
        self.has_content = False
        self.is_done = False
        self.usage: Usage | None = None
        self.pieces = 0
        self._asked = asked
        self._is_streamed = is_streamed
        self._message: dict[str, Any] = {}
        self._arguments: dict[int, str] = {}

    def feed(self, block: bytes) -> bytes:
        """Take whole events; returns what to send."""
        sent = []
        for name, value, event in iterate_json(block):
            if value is None:
                continue
            kind = value.get("type") or name
            self._read(kind, value)
            if kind == "message_start":
                event = write_event(value, kind)[:-2]
            if self._is_streamed:
                sent.append(event)
            if self.is_done:
                break
        return b"\n\n".join(sent) + b"\n\n" if sent else b""

    def _read(self, kind: str, value: dict[str, Any]) -> None:
        if kind == "error":
            raise TargetError(SERVER_ERROR)
        if kind == "message_start":
            self._message = value["message"]
            self._message["model"] = self._asked
            self._count(self._message.get("usage"))
        elif kind == "content_block_start":
            # A block of text begins empty; that a tool is called is news.
            self.has_content = self.has_content or value["content_block"]["type"] not in _EMPTY_AT_FIRST
            self._message["content"].append(value["content_block"])
        elif kind == "content_block_delta":
            self.has_content = True
            self.pieces += 1
            self._grow(value["index"], value["delta"])
        elif kind == "message_delta":
            self._message |= value["delta"]
            self._count(value.get("usage"))
        elif kind == "message_stop":
            self.is_done = self.has_content = bool(self._message.get("stop_reason"))

    def _grow(self, index: int, delta: dict[str, Any]) -> None:
        block = self._message["content"][index]
        if delta["type"] == "input_json_delta":
            self._arguments[index] = self._arguments.get(index, "") + delta["partial_json"]
        elif field := _GROWING.get(delta["type"]):
            block[field] = block.get(field, "") + delta[field]
        elif delta["type"] == "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            counted = {**(self._message.get("usage") or {}), **usage}
            self._message["usage"] = counted
            prompt = sum(counted.get(name) or 0 for name in _INPUT_COUNTS)
            self.usage = {
                "prompt_tokens": prompt,
                "completion_tokens": counted.get("output_tokens") or 0,
                "prompt_tokens_details": {"cached_tokens": counted.get("cache_read_input_tokens") or 0},
            }

    def finish(self) -> bytes:
        """Nothing more, or the whole message."""
        if self._is_streamed:
            return b""
        for index, arguments in self._arguments.items():
            self._message["content"][index]["input"] = orjson.loads(arguments or "{}")
        return orjson.dumps(self._message)

    def fail(self, error: ApiError) -> bytes:
        """A well-formed error event, after which the stream ends."""
        return b"event: error\ndata: %s\n\n" % error.build_body(is_anthropic=True)


_INPUT_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
