"""OpenAI's chat and text completions: what goes to a server, and answers that are not passed as they came. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.errors import ApiError

# A request for a number of tokens, however it is called.
_MAX_TOKENS = ("max_tokens", "max_completion_tokens")
_OF_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")


def build_body(fields: Mapping[str, Any], model: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The body for a server: its own name of the model, the route's defaults, and always streamed.

    A stream is asked for even where the client wants one answer: llama.cpp sees at once that such a request is
    abandoned, and only then frees its slot.
    """
    body = {**fields, "model": model, "stream": True, "stream_options": {"include_usage": True}}
    for name, value in defaults.items():
        if name not in body and not (name in _MAX_TOKENS and any(other in body for other in _MAX_TOKENS)):
            body[name] = value
    return body


def honour_for_engine(body: dict[str, Any]) -> None:
    """Say in llama.cpp's words what it would ignore, in place.

    Tools chosen by name become the only ones. Where no tool may be called none is shown to the model: it would write
    its call as a text.
    """
    choice = body.get("tool_choice")
    if choice == "none":
        for field in _OF_TOOLS:
            body.pop(field, None)
        return
    if chosen := read_choice(choice):
        word, names = chosen
        body["tools"] = [tool for tool in body.get("tools") or () if name_tool(tool) in names]
        body["tool_choice"] = word


def read_choice(choice: Any) -> tuple[str, list[Any]] | None:
    """The word for a choice that names tools, and their names; None for one that names none.

    Source: OpenAI's ``tool_choice`` of types ``function`` and ``allowed_tools``.
    """
    if not isinstance(choice, dict):
        return None
    if isinstance(choice.get("function"), dict):
        return "required", [name_tool(choice)]
    allowed = choice.get("allowed_tools")
    if isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
        return "required" if allowed.get("mode") == "required" else "auto", [*map(name_tool, allowed["tools"])]
    return None


def name_tool(tool: Any) -> Any:
    """The name of a tool, None where it has none."""
    function = tool.get("function") if isinstance(tool, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def has_images(fields: Mapping[str, Any]) -> bool:
    """Whether a message holds a picture."""
    for message in fields.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and any(
            isinstance(part, dict) and part.get("type") == "image_url" for part in content
        ):
            return True
    return False


def needs_tool(fields: Mapping[str, Any]) -> bool:
    """Whether the answer must be a call of a tool."""
    choice = fields.get("tool_choice")
    chosen = read_choice(choice)
    return (chosen[0] if chosen else choice) == "required"


class ChatAnswer:
    """OpenAI's own format, written chunk by chunk: for what a server leaves to its client.

    Args:
        one_call: whether further tool calls after the first are dropped, as ``parallel_tool_calls: false`` asks.
    """

    def __init__(self, asked: str, wants_usage: bool, one_call: bool) -> None:
        self._asked = asked
        self._wants_usage = wants_usage
        self._one_call = one_call

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """The chunk as an event, or nothing."""
        if chunk.get("usage") and not chunk.get("choices") and not self._wants_usage:
            return b""
        chunk["model"] = self._asked
        if self._one_call and not self._keep_first_call(chunk):
            return b""
        return b"data: %s\n\n" % orjson.dumps(chunk)

    def _keep_first_call(self, chunk: dict[str, Any]) -> bool:
        """Drop further calls from a chunk, in place; tells whether anything is left."""
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if calls := delta.get("tool_calls"):
                delta["tool_calls"] = [call for call in calls if not call.get("index")]
                if not delta["tool_calls"]:
                    del delta["tool_calls"]
                    return bool(delta or choice.get("finish_reason"))
        return True

    def finish(self) -> bytes:
        """OpenAI's terminal event."""
        return b"data: [DONE]\n\n"

    def fail(self, error: ApiError) -> bytes:
        """A well-formed error event."""
        return b"data: %s\n\n" % error.build_body(is_anthropic=False)

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        """The completion, with the first call alone where that is asked for."""
        for choice in completion["choices"] if self._one_call else ():
            if calls := choice.get("message", {}).get("tool_calls"):
                choice["message"]["tool_calls"] = calls[:1]
        return completion
