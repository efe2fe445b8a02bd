"""What a target can do of a request: refusals and warnings before anything is sent. Pure.

llama.cpp's server fails with 500 on some of it, answers another question on other, and ignores the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.catalog.values import Target
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.formats.chat import has_images, name_tool, needs_tool, read_choice
from gateway.policy.fields import fit_server


def check_abilities(fields: Mapping[str, Any], target: Target, call: Call) -> None:
    """Refuse what the model of an engine cannot do.

    Args:
        fields: those of a chat completion, or of a text completion.

    Raises:
        RefusedError: 400, naming the field.
    """
    if target.images is False and has_images(fields):
        text = f"Model '{call.asked}' reads no pictures: it has no projector."
        raise _refuse("unsupported_content", text, "messages")
    if not target.provider.is_engine:
        return
    _check_choices(call, target)
    _check_chosen(fields)
    if tools := fields.get("tools"):
        _check_tools(tools)
        if target.tools is False and needs_tool(fields):
            text = f"The template of model '{call.asked}' knows no tools, and 'tool_choice' wants one called."
            raise _refuse("unsupported_tools", text, "tool_choice")


def _check_choices(call: Call, target: Target) -> None:
    slots = target.provider.slots
    if slots and call.choices > slots:
        text = f"Model '{call.asked}' answers a request at most {slots} times ('n'): that many slots it has."
        raise _refuse("unsupported_choices", text, "n")


def _check_chosen(fields: Mapping[str, Any]) -> None:
    """Refuse the choice of a tool that is not there: an engine would answer as if none were wanted."""
    chosen = read_choice(fields.get("tool_choice"))
    given = [name_tool(tool) for tool in fields.get("tools") or ()]
    if chosen and not all(name in given for name in chosen[1]):
        text = "Parameter 'tool_choice' names a tool that is not in 'tools'."
        raise _refuse("unsupported_tools", text, "tool_choice")


def _check_tools(tools: Any) -> None:
    for place, tool in enumerate(tools if isinstance(tools, list) else [tools]):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function":
            text = "Tools are a list of objects of type 'function'; an engine has no others."
            raise _refuse("unsupported_tools", text, f"tools[{place}].type")
        function = tool.get("function")
        if not (isinstance(function, dict) and isinstance(function.get("name"), str) and function["name"]):
            raise _refuse("invalid_tools", "A tool needs a 'function' with a 'name'.", f"tools[{place}].function.name")


def _refuse(code: str, text: str, param: str) -> RefusedError:
    return RefusedError(ApiError(400, code, text, param))


def find_warning(call: Call, target: Target) -> str:
    """What a client should know of its answer; empty when there is nothing to say."""
    if target.tools is False and call.body.get("tools"):
        return "tools-not-supported-by-model"
    _, names = fit_server(call.format, call.body, target.provider.kind)
    return f"fields-left-out: {', '.join(names)}" if names else ""
