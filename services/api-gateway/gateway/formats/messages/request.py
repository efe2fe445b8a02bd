"""A Messages request as the body of a chat completion, field by field. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.formats.messages.refusal import refuse, unsupported
from gateway.formats.messages.thinking import Thinking, build_thinking_fields, read_thinking
from gateway.formats.messages.tools import build_tool_fields
from gateway.formats.messages.turns import build_messages

# Converted here, field by field.
_CONVERTED = frozenset(
    {"messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "stop_sequences"}
)
# Said to Anthropic's service about accounts, prices, caches and places, which a server of chat completions has not:
# the answer is the same without them. `metadata.user_id` is about a person and goes nowhere.
_LEFT_OUT = frozenset(
    {
        "betas",
        "cache_control",
        "context_management",
        "diagnostics",
        "metadata",
        "service_tier",
        "speed",
        "stream",
        "stream_options",
        "user_profile_id",
        "workspace_id",
    }
)
# What would change the answer and cannot be had; empty values ask for nothing.
_REFUSED = {
    "container": "containers are not served here",
    "inference_geo": "the place of inference cannot be chosen",
    "mcp_servers": "MCP servers are connected by the client, not here",
}
# Edits of the context that only spare tokens; what a compaction would write, the client could not do without.
_EDITS_LEFT_OUT = ("clear_",)

# llama.cpp's: with its answer comes, in `__verbose`, the stop sequence that ended it, and nothing more.
_TELL_STOP_SEQUENCE = {"verbose": True, "response_fields": ["stopping_word"]}

# What OpenAI's own format has not, or not for every model: wishes of the client, some of them in llama.cpp's words,
# that an answer can do without.
_NOT_OPENAIS = frozenset({"top_k", "chat_template_kwargs", "thinking_budget_tokens", "reasoning_effort"})


def build_chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the chat completion that a Messages request asks for.

    Fields of other names, such as ``temperature`` and llama.cpp's ``min_p``, are the same there: the allow-list that
    stands before has said that they may be sent.

    Raises:
        RefusedError: 400; ``param`` is the field.
    """
    _check(body)
    dropped = _CONVERTED | _LEFT_OUT | _REFUSED.keys()
    chat = {name: value for name, value in body.items() if name not in dropped}
    chat["messages"] = build_messages(body, keeps_thinking=read_thinking(body) is not Thinking.DISABLED)
    chat |= build_tool_fields(body)
    chat |= build_thinking_fields(body)
    if schema := _read_schema(body):
        format_ = {"name": "answer", "schema": schema, "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": format_}
    if stops := list_stop_sequences(body):
        chat |= {"stop": list(stops), **_TELL_STOP_SEQUENCE}
    return chat


def keep_openai_fields(chat: Mapping[str, Any]) -> dict[str, Any]:
    """The same chat completion for a server that refuses what OpenAI's format has not."""
    dropped = _NOT_OPENAIS | _TELL_STOP_SEQUENCE.keys()
    kept = {name: value for name, value in chat.items() if name not in dropped}
    kept["messages"] = [
        {name: value for name, value in message.items() if name != "reasoning_content"} for message in chat["messages"]
    ]
    return kept


def list_stop_sequences(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The stop sequences of a request.

    Raises:
        RefusedError: 400 when they are not a list of texts, or one is empty.
    """
    stops = body.get("stop_sequences")
    if stops is None:
        return ()
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise refuse("stop_sequences", "a list of texts is expected, none of them empty")
    return tuple(stops)


def _check(body: Mapping[str, Any]) -> None:
    for name, problem in _REFUSED.items():
        if body.get(name):
            raise unsupported(name, problem)
    limit = body.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise refuse("max_tokens", "a number of at least 1 is expected")
    management = body.get("context_management")
    edits = management.get("edits") if isinstance(management, Mapping) else None
    for place, edit in enumerate(edits if isinstance(edits, list) else ()):
        kind = edit.get("type") if isinstance(edit, Mapping) else None
        if not (isinstance(kind, str) and kind.startswith(_EDITS_LEFT_OUT)):
            raise unsupported(f"context_management.edits.{place}.type", "the context is not compacted here")


def _read_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema that the answer has to follow; the field had another name before it was final."""
    config = body.get("output_config")
    given = config.get("format") if isinstance(config, Mapping) else None
    path = "output_config.format"
    if given is None:
        given, path = body.get("output_format"), "output_format"
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.get("type") != "json_schema":
        raise unsupported(f"{path}.type", "json_schema is expected")
    schema = given.get("schema")
    if not isinstance(schema, Mapping):
        raise refuse(f"{path}.schema", "an object is expected")
    return schema
