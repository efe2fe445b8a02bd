"""The items of a Responses answer while they are written: a text, a thought, a call. Pure.

Each item knows the events that open it, extend it and close it, and what stands of it in the whole response.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.formats.responses.events import EventWriter
from gateway.formats.responses.history import REASONING_PREFIX
from gateway.formats.responses.tools import CUSTOM_INPUT, ToolName

Item = dict[str, Any]


def make_id(prefix: str) -> str:
    """A new id, such as ``msg_...``."""
    return f"{prefix}_{secrets.token_hex(24)}"


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a kind of text is told.

    Attributes:
        item: the item's type; ``prefix`` begins its ids.
        holder: the item's field with the part; ``position`` is the events' field with the part's place in it.
        part: the part's type; ``part_event`` and ``text_event`` begin the names of its events.
    """

    item: str
    prefix: str
    holder: str
    position: str
    part: str
    part_event: str
    text_event: str


MESSAGE = TextStyle(
    "message", "msg", "content", "content_index", "output_text", "response.content_part", "response.output_text"
)
# What a model thinks, as the models that show it do; for a client that asked for a summary, it is the summary.
REASONING = TextStyle(
    "reasoning",
    REASONING_PREFIX,
    "content",
    "content_index",
    "reasoning_text",
    "response.content_part",
    "response.reasoning_text",
)
SUMMARY = TextStyle(
    *("reasoning", REASONING_PREFIX, "summary", "summary_index", "summary_text"),
    *("response.reasoning_summary_part", "response.reasoning_summary_text"),
)


class TextItem:
    """A message or a thought: one part of text that grows."""

    def __init__(self, events: EventWriter, style: TextStyle, index: int) -> None:
        self.style = style
        self.index = index
        self._events = events
        self._id = make_id(style.prefix)
        self._texts: list[str] = []
        self._logprobs: list[Any] = []
        self._place = {"item_id": self._id, "output_index": index, style.position: 0}

    def open(self) -> bytes:
        """The events that begin the item and its part."""
        added = {"output_index": self.index, "item": self._build("in_progress", [])}
        return self._events.write("response.output_item.added", added) + self._events.write(
            f"{self.style.part_event}.added", {**self._place, "part": self._build_part("", [])}
        )

    def extend(self, text: str, logprobs: list[Any]) -> bytes:
        """More text."""
        self._texts.append(text)
        self._logprobs += logprobs
        return self._events.write(
            f"{self.style.text_event}.delta", {**self._place, "delta": text, **self._tell(logprobs)}
        )

    def build(self, status: str) -> Item:
        """The item with all of its text."""
        return self._build(status, [self._build_part("".join(self._texts), self._logprobs)])

    def close(self, item: Item) -> bytes:
        """The events that end the part and the item that was built."""
        part = item[self.style.holder][0]
        done = {**self._place, "text": part["text"], **self._tell(self._logprobs)}
        return (
            self._events.write(f"{self.style.text_event}.done", done)
            + self._events.write(f"{self.style.part_event}.done", {**self._place, "part": part})
            + self._events.write("response.output_item.done", {"output_index": self.index, "item": item})
        )

    def _tell(self, logprobs: list[Any]) -> dict[str, Any]:
        return {"logprobs": logprobs} if self.style is MESSAGE else {}

    def _build_part(self, text: str, logprobs: list[Any]) -> dict[str, Any]:
        part: dict[str, Any] = {"type": self.style.part, "text": text}
        return part | {"annotations": [], "logprobs": logprobs} if self.style is MESSAGE else part

    def _build(self, status: str, parts: list[dict[str, Any]]) -> Item:
        item: Item = {"id": self._id, "type": self.style.item, "status": status}
        if self.style is MESSAGE:
            return item | {"role": "assistant", "content": parts}
        return item | {"summary": [], self.style.holder: parts}


class CallItem:
    """A call of a function or of a custom tool, whose arguments grow.

    The input of a custom tool travels inside of JSON and can be told only when the JSON is complete.
    """

    def __init__(self, events: EventWriter, index: int, tool: ToolName, call_id: str) -> None:
        self.index = index
        self._events = events
        self._tool = tool
        self._call_id = call_id
        self._id = make_id("ctc" if tool.is_custom else "fc")
        self._pieces: list[str] = []

    def open(self) -> bytes:
        """The event that begins the item."""
        added = {"output_index": self.index, "item": self._build("in_progress", "")}
        return self._events.write("response.output_item.added", added)

    def extend(self, piece: str) -> bytes:
        """More of the arguments' JSON."""
        if not piece:
            return b""
        self._pieces.append(piece)
        return b"" if self._tool.is_custom else self._write_piece(piece)

    def build(self, status: str) -> Item:
        """The item with all of its arguments; those of a call without any are ``{}``, which is JSON."""
        text = "".join(self._pieces)
        return self._build(status, _unwrap_input(text) if self._tool.is_custom else text or "{}")

    def close(self, item: Item) -> bytes:
        """The events that end the item that was built."""
        name, field = self._tell()
        text = item[field]
        events = self._write_piece(text) if text and (self._tool.is_custom or not self._pieces) else b""
        done = {"item_id": self._id, "output_index": self.index, field: text}
        events += self._events.write(f"{name}.done", done if self._tool.is_custom else done | {"name": self._tool.name})
        return events + self._events.write("response.output_item.done", {"output_index": self.index, "item": item})

    def _write_piece(self, piece: str) -> bytes:
        place = {"item_id": self._id, "output_index": self.index, "delta": piece}
        return self._events.write(f"{self._tell()[0]}.delta", place)

    def _tell(self) -> tuple[str, str]:
        if self._tool.is_custom:
            return "response.custom_tool_call_input", "input"
        return "response.function_call_arguments", "arguments"

    def _build(self, status: str, text: str) -> Item:
        tool = self._tool
        item: Item = {
            "id": self._id,
            "type": "custom_tool_call" if tool.is_custom else "function_call",
            "status": status,
        }
        item |= {"call_id": self._call_id, "name": tool.name, self._tell()[1]: text}
        return item | {"namespace": tool.namespace} if tool.namespace else item


def _unwrap_input(arguments: str) -> str:
    """The text of a custom tool's call; what is not the JSON that was asked for is taken as the text."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments
    text = value.get(CUSTOM_INPUT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
