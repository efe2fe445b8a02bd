"""The tools of a Responses request as chat tools, and the names under which their calls come back. Pure.

Chat completions knows functions only. A custom tool (free text) becomes a function with one string, the functions of a
namespace get the namespace before their names, and ``ToolSet.calls`` turns both back in the answer. Tools that the
provider would run itself (file search, code interpreter, ...) are refused, with one exception: see ``_is_idle_search``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.formats.responses.refusals import refuse, refuse_value

# The property of a custom tool's function, and what joins a namespace to a name.
CUSTOM_INPUT = "input"
_JOINT = "__"
_CHOICES = ("auto", "none", "required")
_SEARCHES = ("web_search", "web_search_preview")


@dataclass(frozen=True, slots=True)
class ToolName:
    """What a chat function is called in the client's request.

    Attributes:
        namespace: None outside a namespace.
        is_custom: the client expects free text, not JSON arguments.
    """

    name: str
    namespace: str | None = None
    is_custom: bool = False

    @property
    def chat_name(self) -> str:
        """The function's name in the chat request."""
        return join_name(self.name, self.namespace)


@dataclass(frozen=True, slots=True)
class ToolSet:
    """The tools of one request.

    Attributes:
        chat: as chat completions has them.
        echoed: as the client sent them, without those that were left out; the answer repeats them.
        calls: by the chat function's name.
    """

    chat: list[dict[str, Any]] = field(default_factory=list)
    echoed: list[Any] = field(default_factory=list)
    calls: dict[str, ToolName] = field(default_factory=dict)

    def add(self, name: ToolName, function: dict[str, Any], param: str) -> None:
        """Add a function.

        Raises:
            RefusedError: another tool has the same name.
        """
        if name.chat_name in self.calls:
            raise refuse(param, f"Two tools have the name '{name.chat_name}'.", "invalid_value")
        self.calls[name.chat_name] = name
        self.chat.append({"type": "function", "function": {"name": name.chat_name} | function})


def join_name(name: str, namespace: str | None) -> str:
    """The chat function's name of a tool in a namespace, or outside one."""
    return f"{namespace}{_JOINT}{name}" if namespace else name


def read_tools(tools: Any) -> ToolSet:
    """Convert ``tools``; None is none.

    Raises:
        RefusedError: a type that no chat server can serve, a missing name, or a name that is there twice.
    """
    found = ToolSet()
    if tools is None:
        return found
    if not isinstance(tools, list):
        raise refuse_value("tools", "a list", tools)
    for number, tool in enumerate(tools):
        param = f"tools[{number}]"
        if not isinstance(tool, dict):
            raise refuse_value(param, "an object", tool)
        if _is_idle_search(tool):
            continue
        found.echoed.append(tool)
        if tool.get("type") == "namespace":
            _add_namespace(found, tool, param)
        else:
            _add_tool(found, tool, param, None)
    return found


def _is_idle_search(tool: Mapping[str, Any]) -> bool:
    """Whether this is the web search that Codex offers with every request, whatever the provider.

    It says with it whether the search may leave the provider's cache. Without a search here the model is not told of
    one, and Codex works as it does with `web_search = "disabled"`.
    """
    return tool.get("type") in _SEARCHES and "external_web_access" in tool


def _add_namespace(found: ToolSet, namespace: Mapping[str, Any], param: str) -> None:
    name, members = namespace.get("name"), namespace.get("tools")
    if not isinstance(name, str) or not name:
        raise refuse_value(f"{param}.name", "the namespace's name", name)
    if not isinstance(members, list):
        raise refuse_value(f"{param}.tools", "a list", members)
    for number, tool in enumerate(members):
        inner = f"{param}.tools[{number}]"
        if not isinstance(tool, dict):
            raise refuse_value(inner, "an object", tool)
        _add_tool(found, tool, inner, name)


def _add_tool(found: ToolSet, tool: Mapping[str, Any], param: str, namespace: str | None) -> None:
    kind, name = tool.get("type"), tool.get("name")
    if kind not in ("function", "custom"):
        raise refuse(
            f"{param}.type",
            f"Tools of type {kind!r} are not available here; 'function', 'custom' and 'namespace' are. "
            "Leave this one out of the request.",
        )
    if not isinstance(name, str) or not name:
        raise refuse_value(f"{param}.name", "the tool's name", name)
    if not isinstance(tool.get("description"), str | None):
        raise refuse_value(f"{param}.description", "a text", tool["description"])
    is_custom = kind == "custom"
    function = _describe_custom(tool) if is_custom else _describe_function(tool, param)
    found.add(ToolName(name, namespace, is_custom), function, param)


def _describe_function(tool: Mapping[str, Any], param: str) -> dict[str, Any]:
    parameters = tool.get("parameters")
    if not isinstance(parameters, dict | None):
        raise refuse_value(f"{param}.parameters", "a JSON schema", parameters)
    described = {key: tool[key] for key in ("description", "strict") if tool.get(key) is not None}
    return described | {"parameters": parameters or {"type": "object", "properties": {}}}


def _describe_custom(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A function with one string. A grammar cannot bind a chat server's string, so the model is shown it."""
    description = tool.get("description") or ""
    rules = tool.get("format")
    if isinstance(rules, dict) and rules.get("definition"):
        description += f"\n\nThe input must follow this {rules.get('syntax') or 'grammar'}:\n{rules['definition']}"
    text = {"type": "string", "description": "The tool's whole input as plain text."}
    parameters = {"type": "object", "properties": {CUSTOM_INPUT: text}, "required": [CUSTOM_INPUT]}
    return {"description": description.strip(), "parameters": parameters}


def choose_tools(found: ToolSet, choice: Any) -> dict[str, Any]:
    """The chat body's ``tools`` and ``tool_choice``.

    Raises:
        RefusedError: a choice that names no tool of the request, or of a form that chat servers cannot follow.
    """
    if choice is None or isinstance(choice, str):
        if choice is not None and choice not in _CHOICES:
            raise refuse_value("tool_choice", "'auto', 'none', 'required' or an object", choice)
        if choice == "required" and not found.chat:
            raise refuse("tool_choice", "A tool call is required, but the request has no tool.", "invalid_value")
        chosen = {} if choice is None else {"tool_choice": choice}
        return {"tools": found.chat} | chosen if found.chat else {}
    if not isinstance(choice, dict):
        raise refuse_value("tool_choice", "'auto', 'none', 'required' or an object", choice)
    if choice.get("type") == "allowed_tools":
        return _allow_tools(found, choice)
    name = _find_named(found, choice, "tool_choice")
    return {"tools": found.chat, "tool_choice": {"type": "function", "function": {"name": name}}}


def _allow_tools(found: ToolSet, choice: Mapping[str, Any]) -> dict[str, Any]:
    """Only some of the tools: the others are not shown to the model."""
    mode, allowed = choice.get("mode"), choice.get("tools")
    if mode not in ("auto", "required"):
        raise refuse_value("tool_choice.mode", "'auto' or 'required'", mode)
    if not isinstance(allowed, list) or not allowed:
        raise refuse_value("tool_choice.tools", "a list of tools", allowed)
    names = {_find_named(found, tool, f"tool_choice.tools[{number}]") for number, tool in enumerate(allowed)}
    return {"tools": [tool for tool in found.chat if tool["function"]["name"] in names], "tool_choice": mode}


def _find_named(found: ToolSet, choice: Any, param: str) -> str:
    if not isinstance(choice, dict) or choice.get("type") not in ("function", "custom"):
        raise refuse_value(param, "a function or custom tool of this request", choice)
    name = choice.get("name")
    chat_name = join_name(name, choice.get("namespace")) if isinstance(name, str) else ""
    if chat_name not in found.calls:
        raise refuse(f"{param}.name", f"The request has no tool named {name!r}.", "invalid_value")
    return chat_name
