"""Chat chunks as the events of a Responses stream, and a whole chat completion as a response. Pure.

Both are made in one way, so that a streamed answer and a whole one never differ.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ApiError
from gateway.formats.responses.events import EventWriter
from gateway.formats.responses.items import (
    MESSAGE,
    REASONING,
    SUMMARY,
    CallItem,
    TextItem,
    TextStyle,
    make_id,
)
from gateway.formats.responses.tools import ToolName, ToolSet

# Fields of the request that the answer repeats, with what stands there when the client did not say.
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": None,
    "user": None,
}
# What is the same in every response that begins here: nothing is stored, cut short or served in the background.
_CONSTANT: Mapping[str, Any] = {
    "background": False,
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
    "previous_response_id": None,
    "service_tier": "default",
    "store": False,
    "truncation": "disabled",
    "usage": None,
}
# Why an answer is not complete, by chat completions' finish reason; every other one is complete.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_LEFT_OUT = ""  # no id: of a call that the client forbade
# The words that clients know for a response that failed; Codex knows the two of overflow and overload besides.
_FAILURES = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt", "context_length_exceeded"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the request the answer depends on.

    Attributes:
        wants_summary: thoughts are told as the reasoning's summary instead of as its text.
    """

    body: Mapping[str, Any]
    tools: ToolSet
    wants_summary: bool = False


class ResponsesAnswer:
    """Writes one answer; see ``ClientAnswer``."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._events = EventWriter()
        self._thought: TextStyle = SUMMARY if asked.wants_summary else REASONING
        self._one_call = asked.body.get("parallel_tool_calls") is False
        self._response: dict[str, Any] = {}
        self._open: dict[int, TextItem | CallItem] = {}  # by output index
        self._text: TextItem | None = None  # the open message or thought
        self._calls: dict[int, CallItem] = {}  # by chat completions' index
        self._call_ids: dict[int, str | None] = {}  # as the server gave them, by the same index
        self._done: dict[int, dict[str, Any]] = {}  # finished items by output index
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """One chat chunk as events; the first one also begins the response."""
        events = b"" if self._response else self._start(chunk)
        if usage := chunk.get("usage"):
            self._usage = build_usage(usage)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                events += self._write_text(self._thought, thought, [])
            if text := delta.get("content"):
                logprobs = choice.get("logprobs") or {}
                events += self._write_text(MESSAGE, text, logprobs.get("content") or [])
            for call in delta.get("tool_calls") or ():
                events += self._write_call(call)
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return events

    def finish(self) -> bytes:
        """The events that end the open items and the response."""
        events = b"" if self._response else self._start({})
        reason = _INCOMPLETE.get(self._finish_reason or "")
        status = "incomplete" if reason else "completed"
        last = max(self._open, default=-1)  # the only one that can have been cut
        for index in tuple(self._open):
            events += self._close(index, status if index == last else "completed")
        self._response |= {
            "status": status,
            "incomplete_details": {"reason": reason} if reason else None,
            "completed_at": None if reason else int(time.time()),
            "output": self._output(),
            "usage": self._usage,
        }
        return events + self._events.write(f"response.{status}", {"response": self._response})

    def fail(self, error: ApiError) -> bytes:
        """The event of a response that failed; what was written before it stands in it as incomplete."""
        events = b"" if self._response else self._start({})
        self._done |= {index: item.build("incomplete") for index, item in self._open.items()}
        code = error.code if error.code in _FAILURES else _failure_code(error.status)
        self._response |= {
            "status": "failed",
            "error": {"code": code, "message": error.message},
            "output": self._output(),
            "usage": self._usage,
        }
        return events + self._events.write("response.failed", {"response": self._response})

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        """A whole chat completion as a response."""
        choices = []
        for choice in (completion.get("choices") or ())[:1]:
            message = dict(choice.get("message") or {})
            calls = enumerate(message.get("tool_calls") or ())
            message["tool_calls"] = [{**call, "index": number} for number, call in calls]
            choices.append({**choice, "delta": message})
        self.feed({**completion, "choices": choices})
        self.finish()
        return self._response

    def _start(self, chunk: Mapping[str, Any]) -> bytes:
        """Begin the response with what is known of it before any output."""
        body = self._asked.body
        created = chunk.get("created")
        echoed = {name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()}
        self._response = {
            "id": make_id("resp"),
            "object": "response",
            "created_at": created if isinstance(created, int) else int(time.time()),
            "model": body.get("model"),
            "status": "in_progress",
            "output": [],
            "tools": self._asked.tools.echoed,
            "reasoning": {"effort": None, "summary": None} | (body.get("reasoning") or {}),
            **_CONSTANT,
            **echoed,
        }
        begun = {"response": self._response}
        return self._events.write("response.created", begun) + self._events.write("response.in_progress", begun)

    def _write_text(self, style: TextStyle, text: str, logprobs: list[Any]) -> bytes:
        """Extend the open item of this style, or end the open one of another and begin one."""
        if self._text is not None and self._text.style is style:
            return self._text.extend(text, logprobs)
        events = self._close_text()
        item = self._text = TextItem(self._events, style, self._next_index())
        self._open[item.index] = item
        return events + item.open() + item.extend(text, logprobs)

    def _write_call(self, delta: Mapping[str, Any]) -> bytes:
        """Extend a call, or begin one. Calls stay open to the end, since servers may write several at once."""
        number, given = delta.get("index") or 0, delta.get("id")
        # Some servers give every call of an answer the same index, and each an id of its own.
        is_another = bool(given) and self._call_ids.get(number) not in (None, given)
        if self._one_call and (number or is_another or self._call_ids.get(number) == _LEFT_OUT):
            self._call_ids[number] = _LEFT_OUT
            return b""
        function = delta.get("function") or {}
        piece = function.get("arguments") or ""
        if number in self._calls and not is_another:
            return self._calls[number].extend(piece)
        self._call_ids[number] = given
        events = self._close_text()
        name = function.get("name") or ""
        tool = self._asked.tools.calls.get(name) or ToolName(name)
        call = CallItem(self._events, self._next_index(), tool, delta.get("id") or make_id("call"))
        self._calls[number] = self._open[call.index] = call
        return events + call.open() + call.extend(piece)

    def _next_index(self) -> int:
        return len(self._open) + len(self._done)

    def _close_text(self) -> bytes:
        text, self._text = self._text, None
        return b"" if text is None else self._close(text.index, "completed")

    def _close(self, index: int, status: str) -> bytes:
        item = self._open.pop(index)
        self._done[index] = item.build(status)
        return item.close(self._done[index])

    def _output(self) -> list[dict[str, Any]]:
        return [self._done[index] for index in sorted(self._done)]


def build_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Chat completions' usage in the words of the Responses format; tokens."""
    prompt = usage.get("prompt_tokens") or 0
    written = usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": usage.get("total_tokens") or prompt + written,
    }


def _failure_code(status: int) -> str:
    if status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if 400 <= status < 500 else "server_error"
