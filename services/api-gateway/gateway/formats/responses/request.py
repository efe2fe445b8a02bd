"""A Responses request as a chat request. Pure.

Fields of the Responses format are converted, or are without effect on a chat server and are left out. A field that the
format does not know was let through by the gateway's allow-list for the server (sampling of llama.cpp) and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.formats.responses.answer import Asked, ResponsesAnswer
from gateway.formats.responses.history import read_input
from gateway.formats.responses.refusals import refuse, refuse_value
from gateway.formats.responses.tools import choose_tools, read_tools

# Converted below, or nothing that a chat server could act on: caches, traces, what to store, what to repeat.
_OWN = frozenset(
    (
        *("background", "client_metadata", "conversation", "context_management", "include", "input", "instructions"),
        *("max_output_tokens", "max_tool_calls", "metadata", "previous_response_id", "prompt"),
        *("prompt_cache_retention", "reasoning", "service_tier", "store", "stream", "stream_options", "text"),
        *("tool_choice", "tools", "top_logprobs", "truncation"),
    )
)
_LOGPROBS = "message.output_text.logprobs"
# What depends on something that the provider would have kept.
_STATEFUL = {
    "previous_response_id": "Answers are not stored here. Send the earlier items in 'input' instead.",
    "conversation": "Conversations are not stored here. Send the earlier items in 'input' instead.",
    "background": "Answers are not stored here, so none can be fetched later. Leave 'background' out and stream.",
    "prompt": "Prompts are not stored here. Send the prompt's text as 'instructions' or in 'input'.",
}


def translate(body: Mapping[str, Any]) -> tuple[dict[str, Any], ResponsesAnswer]:
    """Convert one request.

    Args:
        body: the client's, parsed; its ``model`` is the name that every answer has.

    Returns:
        The chat body, still with the client's model and without ``stream``, and what makes the client's answer.

    Raises:
        RefusedError: 400; its ``param`` names the field that cannot be honoured.
    """
    for name, reason in _STATEFUL.items():
        if body.get(name):
            raise refuse(name, reason)
    tools = read_tools(body.get("tools"))
    chat: dict[str, Any] = {name: value for name, value in body.items() if name not in _OWN and value is not None}
    chat["messages"] = read_input(body.get("input"), body.get("instructions"))
    chat |= choose_tools(tools, body.get("tool_choice"))
    if not tools.chat:
        chat.pop("parallel_tool_calls", None)
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    chat |= _read_format(_read_object(body, "text"))
    reasoning = _read_object(body, "reasoning")
    if reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    chat |= _read_logprobs(body)
    wants_summary = bool(reasoning.get("summary") or reasoning.get("generate_summary"))
    return chat, ResponsesAnswer(Asked(body, tools, wants_summary))


def keep_openai_fields(chat: Mapping[str, Any]) -> dict[str, Any]:
    """The same chat completion for a server that refuses what OpenAI's format has not: without the model's thoughts."""
    messages = [
        {name: value for name, value in message.items() if name != "reasoning_content"} for message in chat["messages"]
    ]
    said = [item for item in messages if item["role"] != "assistant" or item["content"] or "tool_calls" in item]
    return {**chat, "messages": said}


def _read_object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict | None):
        raise refuse_value(name, "an object", value)
    return value or {}


def _read_format(text: Mapping[str, Any]) -> dict[str, Any]:
    """``text.format`` as chat completions' ``response_format``."""
    wanted = text.get("format")
    if wanted is None:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if kind != "json_schema":
        raise refuse_value("text.format.type", "'text', 'json_object' or 'json_schema'", kind)
    if not isinstance(wanted.get("schema"), dict):
        raise refuse_value("text.format.schema", "a JSON schema", wanted.get("schema"))
    schema = {key: value for key, value in wanted.items() if key != "type" and value is not None}
    return {
        "response_format": {"type": "json_schema", "json_schema": schema | {"name": wanted.get("name") or "answer"}}
    }


def _read_logprobs(body: Mapping[str, Any]) -> dict[str, Any]:
    include = body.get("include")
    if not isinstance(include, list | None):
        raise refuse_value("include", "a list", include)
    if _LOGPROBS not in (include or []):
        return {}
    return {"logprobs": True, "top_logprobs": body.get("top_logprobs") or 0}
