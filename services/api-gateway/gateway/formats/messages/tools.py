"""Tools and the choice among them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.formats.messages.blocks import read_text
from gateway.formats.messages.refusal import refuse, unsupported

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def build_tool_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields ``tools``, ``tool_choice`` and ``parallel_tool_calls`` of a chat completion, where they are needed.

    Raises:
        RefusedError: 400 for tools that run at Anthropic or whose input it alone knows, and for malformed ones.
    """
    choice = body.get("tool_choice")
    if choice is not None and not isinstance(choice, Mapping):
        raise refuse("tool_choice", "an object is expected")
    tools = _build_tools(body, choice.get("name") if choice else None)
    fields: dict[str, Any] = {"tools": tools} if tools else {}
    if choice is not None:
        fields |= _build_choice(choice, [tool["function"]["name"] for tool in tools])
    return fields


def wants_one_call(body: Mapping[str, Any]) -> bool:
    """Whether the client forbids several tool calls at once; the field has been checked."""
    choice = body.get("tool_choice")
    return isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use") is True


def _build_tools(body: Mapping[str, Any], chosen: Any) -> list[dict[str, Any]]:
    tools = body.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise refuse("tools", "a list is expected")
    known = None
    built = []
    for place, tool in enumerate(tools):
        path = f"tools.{place}"
        if not isinstance(tool, Mapping):
            raise refuse(path, "an object is expected")
        function = _build_function(tool, path)
        if tool.get("defer_loading") is True:
            known = [chosen, *_list_known_tools(body)] if known is None else known
            if function["name"] not in known:
                continue
        built.append({"type": "function", "function": function})
    return built


def _build_function(tool: Mapping[str, Any], path: str) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        problem = f"tools of type '{str(kind)[:80]}' are not served here, only tools with a name and an input_schema"
        raise unsupported(f"{path}.type", problem)
    callers = tool.get("allowed_callers")
    if isinstance(callers, list) and "direct" not in callers:
        raise unsupported(f"{path}.allowed_callers", "tools are called by the model itself, which is 'direct'")
    schema = tool.get("input_schema")
    if not isinstance(schema, Mapping):
        raise refuse(f"{path}.input_schema", "an object is expected")
    function: dict[str, Any] = {"name": read_text(tool, "name", path)}
    description = tool.get("description")
    if description is not None:
        function["description"] = read_text(tool, "description", path)
    if examples := tool.get("input_examples"):
        function["description"] = "\n".join([function.get("description", ""), *_write_examples(examples, path)]).strip()
    function["parameters"] = schema
    if tool.get("strict") is True:
        function["strict"] = True
    return function


def _write_examples(examples: Any, path: str) -> Iterator[str]:
    if not isinstance(examples, list):
        raise refuse(f"{path}.input_examples", "a list is expected")
    for example in examples:
        try:
            yield f"Example: {orjson.dumps(example).decode()}"
        except orjson.JSONEncodeError as error:
            raise refuse(f"{path}.input_examples", "it is nested too deeply") from error


def _list_known_tools(body: Mapping[str, Any]) -> Iterator[Any]:
    """Names of the deferred tools that the conversation has loaded: those that a tool's result refers to."""
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, Mapping) else None
        for block in content if isinstance(content, list) else ():
            inner = block.get("content") if isinstance(block, Mapping) else None
            for item in inner if isinstance(inner, list) else ():
                if isinstance(item, Mapping) and item.get("type") == "tool_reference":
                    name = item.get("tool_name")
                    if isinstance(name, str):
                        yield name


def _build_choice(choice: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    kind = choice.get("type")
    fields: dict[str, Any] = {}
    if kind == "tool":
        name = read_text(choice, "name", "tool_choice")
        if name not in names:
            raise refuse("tool_choice.name", "the name of one of the tools is expected")
        fields["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in _CHOICES:
        if kind == "any" and not names:
            raise refuse("tool_choice.type", "'any' needs at least one tool")
        if names:
            fields["tool_choice"] = _CHOICES[kind]
    else:
        raise refuse("tool_choice.type", "auto, any, tool or none is expected")
    if wants_one_call({"tool_choice": choice}) and names:
        fields["parallel_tool_calls"] = False
    return fields
