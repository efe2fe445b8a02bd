"""Requests as tools send them, each small: what matters is its fields, not its words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Wire = Literal["chat", "messages", "responses", "embeddings"]
# What has to come back: a whole answer, a stream to its end, a number of tokens, vectors, or either an answer or words
# that say why there is none.
Wanted = Literal["answer", "stream", "count", "vectors", "words"]

_ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_FUNCTION = {"name": "weather", "description": "The weather of a city", "parameters": _CITY}
_ASK = "How is the weather?"
_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """One request.

    Attributes:
        what: its peculiarities, in a few words.
        path: path below the gateway's address.
        body: without the model.
    """

    what: str
    wire: Wire
    path: str
    wanted: Wanted
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


_CLAUDE_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    "x-app": "cli",
}
_CLAUDE_TOOL = {"name": "weather", "description": "The weather of a city", "input_schema": _CITY}
_CLAUDE = {
    "max_tokens": _TOKENS,
    "system": [
        {"type": "text", "text": "You help."},
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
    ],
    "tools": [_CLAUDE_TOOL],
    "metadata": {"user_id": "somebody"},
}
_CLAUDE_CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Seoul"}}
_CLAUDE_RESULT = {
    "type": "tool_result",
    "tool_use_id": "toolu_1",
    "content": [{"type": "text", "text": "Sunny"}],
    "cache_control": {"type": "ephemeral"},
}

MESSAGES = (
    Shape(
        "streamed, system as a list, cache_control, tools",
        "messages",
        "/v1/messages?beta=true",
        "stream",
        {
            **_CLAUDE,
            "stream": True,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": _ASK, "cache_control": {"type": "ephemeral"}}]}
            ],
        },
        _CLAUDE_HEADERS,
    ),
    Shape(
        "a tool's result",
        "messages",
        "/v1/messages?beta=true",
        "stream",
        {
            **_CLAUDE,
            "stream": True,
            "messages": [
                {"role": "user", "content": _ASK},
                {"role": "assistant", "content": [{"type": "text", "text": "I look."}, _CLAUDE_CALL]},
                {"role": "user", "content": [_CLAUDE_RESULT]},
            ],
        },
        _CLAUDE_HEADERS,
    ),
    Shape(
        "thinking",
        "messages",
        "/v1/messages?beta=true",
        "stream",
        {
            "max_tokens": 1100,
            "stream": True,
            "stop_sequences": ["."],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "messages": [{"role": "user", "content": _ASK}],
        },
        _CLAUDE_HEADERS,
    ),
    Shape(
        "whole, a short one beside the conversation",
        "messages",
        "/v1/messages",
        "answer",
        {"max_tokens": _TOKENS, "temperature": 0, "messages": [{"role": "user", "content": "quota"}]},
        _CLAUDE_HEADERS,
    ),
    Shape(
        "count_tokens",
        "messages",
        "/v1/messages/count_tokens?beta=true",
        "count",
        {"messages": [{"role": "user", "content": _ASK}], "tools": [_CLAUDE_TOOL]},
        _CLAUDE_HEADERS,
    ),
    Shape(
        "a picture",
        "messages",
        "/v1/messages?beta=true",
        "words",
        {
            "max_tokens": _TOKENS,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": _ONE_PIXEL},
                        },
                        {"type": "text", "text": "What is it?"},
                    ],
                }
            ],
        },
        _CLAUDE_HEADERS,
    ),
)

_TOOLS = [{"type": "function", "function": _FUNCTION}]
_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Seoul"}'}}
_SYSTEM = {"role": "system", "content": "You help."}
_USER = {"role": "user", "content": _ASK}
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}

CHAT = (
    Shape(
        "streamed with usage, tools, parallel calls",
        "chat",
        "/v1/chat/completions",
        "stream",
        {
            **_STREAMED,
            "messages": [_SYSTEM, _USER],
            "tools": _TOOLS,
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "max_completion_tokens": _TOKENS,
            "temperature": 0,
        },
    ),
    Shape(
        "a tool's result",
        "chat",
        "/v1/chat/completions",
        "stream",
        {
            **_STREAMED,
            "messages": [
                _SYSTEM,
                _USER,
                {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
            ],
            "tools": _TOOLS,
            "max_tokens": _TOKENS,
        },
    ),
    Shape(
        "content as a list, reasoning_effort",
        "chat",
        "/v1/chat/completions",
        "stream",
        {
            **_STREAMED,
            "messages": [{"role": "user", "content": [{"type": "text", "text": _ASK}]}],
            "reasoning_effort": "low",
            "max_tokens": _TOKENS,
        },
    ),
    Shape(
        "whole, packed with gzip",
        "chat",
        "/v1/chat/completions",
        "answer",
        {"messages": [_USER], "max_tokens": _TOKENS},
        {"content-encoding": "gzip"},
    ),
    Shape(
        "a picture",
        "chat",
        "/v1/chat/completions",
        "words",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is it?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_ONE_PIXEL}"}},
                    ],
                }
            ],
            "max_tokens": _TOKENS,
        },
    ),
)

_CODEX = {
    "instructions": "You help.",
    "tools": [{"type": "function", "strict": False, **_FUNCTION}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "a-conversation",
    "max_output_tokens": _TOKENS,
}
_CODEX_ASK = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": _ASK}]}
_CODEX_CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Seoul"}'}

RESPONSES = (
    Shape(
        "streamed, instructions, a developer's message, tools, reasoning",
        "responses",
        "/v1/responses",
        "stream",
        {
            **_CODEX,
            "input": [
                {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
                _CODEX_ASK,
            ],
        },
        {"originator": "codex_exec", "accept": "text/event-stream"},
    ),
    Shape(
        "a tool's result",
        "responses",
        "/v1/responses",
        "stream",
        {
            **_CODEX,
            "input": [
                _CODEX_ASK,
                _CODEX_CALL,
                {"type": "function_call_output", "call_id": "call_1", "output": "Sunny"},
            ],
        },
        {"originator": "codex_exec", "accept": "text/event-stream"},
    ),
    # Codex packs so for those who are signed in with its maker, and not for providers of its file.
    Shape(
        "whole, packed with zstd",
        "responses",
        "/v1/responses",
        "answer",
        {"input": [_CODEX_ASK], "store": False, "max_output_tokens": _TOKENS},
        {"content-encoding": "zstd"},
    ),
)

EMBEDDINGS = (
    Shape(
        "vectors as base64",
        "embeddings",
        "/v1/embeddings",
        "vectors",
        {"input": ["one", "two"], "encoding_format": "base64"},
    ),
    Shape("vectors of one text", "embeddings", "/v1/embeddings", "vectors", {"input": "one"}),
)
