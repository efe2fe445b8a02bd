"""The ``input`` of a Responses request as chat messages. Pure.

The Responses format has one item for every text, call and thought; chat completions has one message for a whole turn
of the assistant. So the items of the assistant are gathered until somebody else speaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gateway.formats.responses.refusals import refuse, refuse_value
from gateway.formats.responses.tools import CUSTOM_INPUT, join_name

Message = dict[str, Any]
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
# What the ids of thoughts begin with, here and at OpenAI.
REASONING_PREFIX = "rs"
_BETWEEN_TEXTS = "\n\n"


def read_input(value: Any, instructions: Any) -> list[Message]:
    """Convert ``input`` and ``instructions``; what stands before the first turn becomes one system message.

    One, because chat templates of several model families refuse a second.

    Raises:
        RefusedError: an item that a chat server cannot be told, or one of the wrong shape; names the item.
    """
    if instructions is not None and not isinstance(instructions, str):
        raise refuse_value("instructions", "a string", instructions)
    history = _History()
    if instructions:
        history.add_message("system", instructions)
    if isinstance(value, str):
        history.add_message("user", value)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            history.add_item(item, f"input[{number}]")
    else:
        raise refuse_value("input", "a string or a list of items", value)
    if not value:
        raise refuse_value("input", "a text or at least one item", value)
    return history.messages


class _History:
    """Chat messages, growing by one item after the other."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._calls: set[str] = set()  # ids of the calls so far
        self._readers: Mapping[str, Callable[[Mapping[str, Any], str], None]] = {
            "message": self._read_message,
            "reasoning": self._read_reasoning,
            "item_reference": self._read_reference,
            "function_call": self._read_call,
            "custom_tool_call": self._read_call,
            "function_call_output": self._read_output,
            "custom_tool_call_output": self._read_output,
        }

    def add_item(self, item: Any, param: str) -> None:
        if not isinstance(item, dict):
            raise refuse_value(param, "an object", item)
        kind = item.get("type", "message")
        reader = self._readers.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise refuse(
                f"{param}.type",
                f"Items of type {kind!r} cannot be sent to this model; messages, reasoning, function calls, custom "
                "tool calls and their outputs can.",
            )
        reader(item, param)

    def add_message(self, role: str, content: str | list[dict[str, Any]]) -> None:
        """Add what somebody said; several messages of one side in a row are one, as many chat templates want it.

        What a system says in the midst of a conversation stands in the user's turn, between tags, because templates
        refuse a system message there.
        """
        if role == "assistant":
            turn = self._open_turn()
            turn["content"] = _join(turn["content"], content)
            return
        last = self.messages[-1] if self.messages else None
        if role == "system" and last is not None and last["role"] != "system":
            role, content = "user", _mark_as_system(content)
        if last is not None and last["role"] == role:
            last["content"] = _join(last["content"], content)
        else:
            self.messages.append({"role": role, "content": content})

    def _open_turn(self) -> Message:
        """The assistant's message that is not ended yet."""
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant", "content": None})
        return self.messages[-1]

    def _read_message(self, item: Mapping[str, Any], param: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise refuse_value(f"{param}.role", "'user', 'assistant', 'system' or 'developer'", role)
        content = _read_content(item.get("content"), f"{param}.content")
        if content or role == "user":
            self.add_message(_ROLES[role], content)

    def _read_reasoning(self, item: Mapping[str, Any], param: str) -> None:
        """Give the model its own thoughts back: templates show it those of the turn that it is in.

        What another provider encrypted says nothing to this one.
        """
        parts = item.get("content") or item.get("summary") or []
        if not isinstance(parts, list):
            raise refuse_value(f"{param}.summary", "a list", parts)
        texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if any(texts):
            turn = self._open_turn()
            turn["reasoning_content"] = _join(turn.get("reasoning_content"), "\n".join(texts))

    def _read_reference(self, item: Mapping[str, Any], param: str) -> None:
        """Leave out a thought that is only referred to, as AI SDK does it: the conversation is whole without it."""
        identity = item.get("id")
        if not isinstance(identity, str) or not identity.startswith(REASONING_PREFIX):
            raise refuse(
                f"{param}.id",
                f"Items are not stored here, so none can be referred to by its id, as by {identity!r}. Send the item "
                "itself: clients do when they are told 'store: false'.",
            )

    def _read_call(self, item: Mapping[str, Any], param: str) -> None:
        name, identity = item.get("name"), item.get("call_id")
        for key, value in (("name", name), ("call_id", identity)):
            if not isinstance(value, str) or not value:
                raise refuse_value(f"{param}.{key}", "a string", value)
        is_custom = item["type"] == "custom_tool_call"
        key = CUSTOM_INPUT if is_custom else "arguments"
        text = item.get(key, "")
        if not isinstance(text, str):
            raise refuse_value(f"{param}.{key}", "a string", text)
        arguments = json.dumps({CUSTOM_INPUT: text}, ensure_ascii=False) if is_custom else text or "{}"
        function = {"name": join_name(str(name), item.get("namespace")), "arguments": arguments}
        call = {"id": identity, "type": "function", "function": function}
        self._open_turn().setdefault("tool_calls", []).append(call)
        self._calls.add(str(identity))

    def _read_output(self, item: Mapping[str, Any], param: str) -> None:
        identity = item.get("call_id")
        if not isinstance(identity, str) or identity not in self._calls:
            raise refuse(
                f"{param}.call_id",
                f"No earlier item of the input is a call with the call_id {identity!r}. Send it before its output.",
                "invalid_value",
            )
        content = _read_content(item.get("output"), f"{param}.output")
        self.messages.append({"role": "tool", "tool_call_id": identity, "content": content})


def _join(before: Any, after: Any) -> Any:
    """One content of two: texts stay a text."""
    if not before:
        return after
    if isinstance(before, str) and isinstance(after, str):
        return before + _BETWEEN_TEXTS + after
    return _as_parts(before) + _as_parts(after)


def _mark_as_system(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return f"<system>\n{content}\n</system>"
    opened, closed = ({"type": "text", "text": tag} for tag in ("<system>", "</system>"))
    return [opened, *content, closed]


def _as_parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _read_content(content: Any, param: str) -> str | list[dict[str, Any]]:
    """A text, or a list of parts where there are several or one is none."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise refuse_value(param, "a string or a list of parts", content)
    parts = [_read_part(part, f"{param}[{number}]") for number, part in enumerate(content)]
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _read_part(part: Any, param: str) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise refuse_value(param, "an object", part)
    kind = part.get("type")
    if kind in _TEXTS or kind == "refusal":
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise refuse_value(f"{param}.text", "a string", text)
        return {"type": "text", "text": text}
    if kind == "input_image":
        return _read_image(part, param)
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    raise refuse(
        f"{param}.type",
        f"Parts of type {kind!r} cannot be sent to this model; text and images can. Put a file's text into the input.",
    )


def _read_image(part: Mapping[str, Any], param: str) -> dict[str, Any]:
    url = part.get("image_url")
    if not isinstance(url, str) or not url:
        raise refuse(
            f"{param}.image_url",
            "An image must be sent as 'image_url' with a data: URL; files are not stored here.",
        )
    image = {"url": url} | ({"detail": part["detail"]} if part.get("detail") else {})
    return {"type": "image_url", "image_url": image}
