"""What Anthropic's format cannot hold of a chat request is refused here by its field; the rest is made ready. Pure.

LiteLLM drops some of it without a word, fetches pictures by itself, and tells the rest in sentences of its own, which
must not reach a client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import UnionType
from typing import Any

from gateway.errors import ApiError, RefusedError

Message = dict[str, Any]
_REFUSED = {
    "logprobs": "Anthropic's models tell no token probabilities.",
    "top_logprobs": "Anthropic's models tell no token probabilities.",
    "audio": "Anthropic's models speak no audio.",
    "functions": "Functions are sent as 'tools' to this model.",
    "function_call": "Functions are sent as 'tools' to this model.",
}
# What LiteLLM converts. Sampling that the format does not know (`seed`, `min_p`, penalties) is left out.
_CONVERTED = (
    *("max_tokens", "max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "response_format", "stop"),
    *("temperature", "tool_choice", "tools", "top_k", "top_p", "user"),
)
# Fields of the wrong type would fail in the middle of LiteLLM, or at the provider.
_TYPES: Mapping[str, tuple[type | UnionType, str]] = {
    "max_tokens": (int, "a number of tokens"),
    "max_completion_tokens": (int, "a number of tokens"),
    "parallel_tool_calls": (bool, "true or false"),
    "response_format": (dict, "an object"),
    "stop": (str | list, "a string or a list of strings"),
    "temperature": (int | float, "a number"),
    "tool_choice": (str | dict, "a string or an object"),
    "tools": (list, "a list"),
    "top_k": (int, "a number"),
    "top_p": (int | float, "a number"),
    "user": (str, "a string"),
}
_CHOICES = ("auto", "none", "required")
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_JSON_ONLY = "Answer with one JSON object and nothing else."


def refuse(param: str, message: str) -> RefusedError:
    """The refusal of one field."""
    return RefusedError(ApiError(400, "unsupported_parameter", message, param))


def select_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields beside the messages that are converted.

    Raises:
        RefusedError: a field asks for what Anthropic's models cannot do.
    """
    for name, reason in _REFUSED.items():
        if body.get(name):
            raise refuse(name, reason)
    if (body.get("n") or 1) != 1:
        raise refuse("n", "Anthropic's models give one answer to a request; 'n' can only be 1.")
    fields = {name: body[name] for name in _CONVERTED if body.get(name) is not None}
    if "max_completion_tokens" in fields:
        fields.pop("max_tokens", None)
    for name, (expected, words) in _TYPES.items():
        if name in fields and not isinstance(fields[name], expected):
            raise refuse(name, f"'{name}' must be {words}.")
    if fields.get("reasoning_effort", "none") not in _EFFORTS:
        raise refuse("reasoning_effort", f"'reasoning_effort' must be one of {', '.join(_EFFORTS)}.")
    if "temperature" in fields:
        fields["temperature"] = min(fields["temperature"], 1)  # OpenAI's goes to 2, Anthropic's to 1
        fields.pop("top_p", None)  # newer models refuse the two together
    _check_tools(fields)
    return fields


def _check_tools(fields: dict[str, Any]) -> None:
    """Refuse tools that are no functions, and a choice of one that is not there. In place: no choice without tools."""
    names = set()
    for number, tool in enumerate(fields.get("tools") or ()):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise refuse(f"tools[{number}].function.name", "Only functions with a name can be sent to this model.")
        if not isinstance(function.get("parameters") or {}, dict):
            raise refuse(f"tools[{number}].function.parameters", "The parameters of a function must be a JSON schema.")
        names.add(name)
    choice = fields.get("tool_choice", "auto")
    if isinstance(choice, str) and choice not in _CHOICES:
        raise refuse("tool_choice", "'tool_choice' must be 'auto', 'none', 'required' or one of the tools.")
    chosen = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(choice, dict) and not (isinstance(chosen, dict) and chosen.get("name") in names):
        raise refuse("tool_choice", "'tool_choice' must name one of the tools of the request.")
    if not names:
        if choice == "required":
            raise refuse("tool_choice", "A tool call is required, but the request has no tool.")
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            fields.pop(name, None)


def check_messages(body: Mapping[str, Any]) -> list[Message]:
    """The messages in the form that LiteLLM takes.

    Raises:
        RefusedError: a part, an address or arguments that the format cannot hold; names the place.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise refuse("messages", "'messages' must be a list.")
    found = [ready for place, message in enumerate(messages) if (ready := _check_message(message, place))]
    if not any(message["role"] != "system" for message in found):
        raise refuse("messages", "At least one message beside the system's is needed.")
    if (body.get("response_format") or {}).get("type") == "json_object":
        found.insert(0, {"role": "system", "content": _JSON_ONLY})  # the format has no such mode
    return found


def _check_message(message: Any, place: int) -> Message | None:
    """One message; None for one of the assistant or the system that says nothing."""
    param = f"messages[{place}]"
    if not isinstance(message, dict):
        raise refuse(param, f"'{param}' must be an object.")
    role = "system" if message.get("role") == "developer" else message.get("role")
    if role not in ("system", "user", "assistant", "tool"):
        raise refuse(f"{param}.role", f"Messages of the role {role!r} cannot be sent to this model.")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise refuse(f"{param}.tool_call_id", "A tool's message must name the call that it answers.")
    content = _check_content(message.get("content"), f"{param}.content")
    ready: Message = {"role": role, "content": content or (None if role == "assistant" else "")}
    for name in ("tool_call_id", "tool_calls", "cache_control"):
        if message.get(name):
            ready[name] = message[name]
    for number, call in enumerate(ready.get("tool_calls", ())):
        _check_call(call, f"{param}.tool_calls[{number}]")
    if content or role == "tool" or "tool_calls" in ready:
        return ready
    if role == "user":
        raise refuse(f"{param}.content", "A user's message must not be empty for this model.")
    return None


def _check_content(content: Any, param: str) -> str | list[dict[str, Any]]:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise refuse(param, f"'{param}' must be a string or a list of parts.")
    for number, part in enumerate(content):
        _check_part(part, f"{param}[{number}]")
    return [part for part in content if part["type"] != "text" or part["text"]]


def _check_part(part: Any, param: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return
    if kind != "image_url":
        raise refuse(f"{param}.type", f"Parts of type {kind!r} cannot be sent to this model; text and images can.")
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    starts = ("https://", *(f"data:{kind};base64," for kind in _PICTURES))
    if not isinstance(url, str) or not url.startswith(starts):
        known = ", ".join(_PICTURES)
        raise refuse(f"{param}.image_url", f"An image must be a data: URL of {known} in base64, or an https: address.")


def _check_call(call: Any, param: str) -> None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise refuse(f"{param}.function", f"'{param}' must be the call of a function.")
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (TypeError, ValueError):
        arguments = None
    if not isinstance(arguments, dict):
        raise refuse(f"{param}.function.arguments", "The arguments of a call must be one JSON object for this model.")
