"""A chat completion as Anthropic's message, streamed or whole. Pure.

In: parsed chunks in the order of their arrival, or a whole completion. Out: bytes of server-sent events, or the
message. What no chunk has is not made up: without ``prompt_progress`` the first event says 0 input tokens, and the
last one has the server's count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson

from gateway.errors import ApiError
from gateway.formats.messages import events
from gateway.formats.messages.ends import (
    build_input_usage,
    build_stop,
    build_usage,
    find_stop_sequence,
    read_progress,
)
from gateway.formats.messages.stream import BlockStream
from gateway.formats.messages.thinking import Thinking


class MessagesAnswer:
    """The answer to one request of ``/v1/messages``."""

    def __init__(
        self,
        model: str,
        thinking: Thinking = Thinking.SHOWN,
        stops: tuple[str, ...] = (),
        one_call: bool = False,
    ) -> None:
        """Begin an answer.

        Args:
            model: name of the model as the client wrote it.
            stops: the client's stop sequences.
            one_call: whether tool calls after the first are dropped: engines take no notice of
                ``parallel_tool_calls: false``.
        """
        self._model, self._thinking, self._stops = model, thinking, stops
        self._one_call = one_call
        self._blocks = BlockStream(one_call)
        self._is_begun = False
        self._finish: Any = None
        self._sequence: str | None = None
        self._usage: Any = None
        self._pieces = 0

    def feed(self, chunk: Mapping[str, Any]) -> bytes:
        """Events for one chunk: the first begins the message, and progress with the prompt is a ping."""
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        if not choices:
            return b""
        choice = choices[0]
        if self._stops and self._sequence is None:
            self._sequence = find_stop_sequence(chunk, choice, self._stops)
        delta = choice.get("delta")
        if self._is_begun:
            sent = events.PING if "prompt_progress" in chunk else b""
        else:
            sent = self._begin(chunk.get("prompt_progress"))
        if delta:
            sent += self._write_delta(delta)
        if choice.get("finish_reason"):
            self._finish = choice["finish_reason"]
            sent += self._blocks.close()
        return sent

    def _begin(self, progress: Any) -> bytes:
        self._is_begun = True
        usage = {**build_input_usage(*read_progress(progress)), "output_tokens": 0}
        message = self._build_message([], {"stop_reason": None, "stop_sequence": None}, usage)
        return events.write_event({"type": "message_start", "message": message}) + events.PING

    def _write_delta(self, delta: Mapping[str, Any]) -> bytes:
        sent = b""
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            sent += self._write_thought(read_text(thought))
        if text := delta.get("content") or delta.get("refusal"):
            self._pieces += 1
            sent += self._blocks.write("text", read_text(text))
        if calls := delta.get("tool_calls"):
            self._pieces += 1
            sent += b"".join(self._blocks.write_call(piece) for piece in calls)
        return sent

    def _write_thought(self, thought: str) -> bytes:
        self._pieces += 1
        if self._thinking is Thinking.DISABLED:
            return b""
        return self._blocks.write("thinking", thought if self._thinking is Thinking.SHOWN else "")

    def finish(self) -> bytes:
        """The events that end the message, with the server's usage."""
        start = b"" if self._is_begun else self._begin(None)
        end = self._blocks.close()
        stop = build_stop(self._finish, self._sequence, self._blocks.has_call)
        usage = build_usage(self._usage, self._pieces)
        return (
            start
            + end
            + events.write_event({"type": "message_delta", "delta": stop, "usage": usage})
            + (events.MESSAGE_STOP)
        )

    def fail(self, error: ApiError) -> bytes:
        """The error as an event; the blocks that are open stay so, as at Anthropic."""
        return b"event: error\ndata: %s\n\n" % error.build_body(is_anthropic=True)

    def whole(self, completion: Mapping[str, Any]) -> dict[str, Any]:
        """The message for a whole chat completion that has a choice."""
        choice = completion["choices"][0]
        content = self._build_content(choice.get("message") or {})
        has_call = any(block["type"] == "tool_use" for block in content)
        sequence = find_stop_sequence(completion, choice, self._stops)
        stop = build_stop(choice.get("finish_reason"), sequence, has_call)
        return self._build_message(content, stop, build_usage(completion.get("usage")))

    def _build_content(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = []
        thought = message.get("reasoning_content") or message.get("reasoning")
        if thought and self._thinking is not Thinking.DISABLED:
            shown = read_text(thought) if self._thinking is Thinking.SHOWN else ""
            content.append({"type": "thinking", "thinking": shown, "signature": ""})
        if text := message.get("content") or message.get("refusal"):
            content.append({"type": "text", "text": read_text(text)})
        calls = message.get("tool_calls") or ()
        for call in calls[:1] if self._one_call else calls:
            function = call.get("function") or {}
            if name := function.get("name"):
                key = call.get("id") or f"toolu_{uuid4().hex}"
                given = parse_arguments(function.get("arguments"))
                content.append({"type": "tool_use", "id": key, "name": name, "input": given})
        return content

    def _build_message(
        self, content: list[dict[str, Any]], stop: Mapping[str, Any], usage: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "id": f"msg_{uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            **stop,
            "usage": usage,
        }


def read_text(content: Any) -> str:
    """The text of a content; some servers send it as parts."""
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


def parse_arguments(arguments: Any) -> dict[str, Any]:
    """A tool call's input, which has to be an object.

    What a model wrote that is none stays readable under ``INVALID_JSON``, the name that Anthropic gives to it: an
    empty object in its place could run a tool that nobody asked for like this. The tool's own check of its input
    then says to the model what was wrong.
    """
    if isinstance(arguments, dict):
        return arguments
    text = arguments if isinstance(arguments, str) else ""
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"INVALID_JSON": text}
