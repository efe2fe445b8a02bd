"""Requests of agents as they were seen here, reduced to their fields and written anew. Pure.

Seen of Claude Code 2.1.197, Codex 0.171.0, opencode 1.18.33, Qwen Code 0.24.4, Continue 1.5.47 and pi 1.6.0.
"""

from __future__ import annotations

from stackctl.core.connect.shapes import Shape

_CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_SCHEMA = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_CITY, "additionalProperties": False}
_CACHED = {"cache_control": {"type": "ephemeral"}}
_TOKENS = 16
_PLACES = ("Seoul", "Busan")
# What the SDKs for Node say of themselves; most agents are built on one.
_STAINLESS = {
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "node",
    "x-stainless-timeout": "600",
}

_CLAUDE_HEADERS = {
    **_STAINLESS,
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,context-management-2025-06-27,mid-conversation-system-2026-04-07,"
    "effort-2025-11-24",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-claude-code-session-id": "a-session",
    "x-app": "cli",
}
_CLAUDE = {
    "max_tokens": _TOKENS,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2"},
        {"type": "text", "text": "You help.", **_CACHED},
        {"type": "text", "text": "Be brief.", **_CACHED},
    ],
    "tools": [{"name": "weather", "description": "The weather of a city", "input_schema": _SCHEMA}],
    "metadata": {"user_id": '{"device_id": "a-device"}'},
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
}
_CLAUDE_ASK = [
    {"role": "user", "content": [{"type": "text", "text": "Today is Monday."}, {"type": "text", "text": "Look."}]},
    {"role": "system", "content": "There is one agent."},
]
_CLAUDE_CALLS = [
    {"type": "tool_use", "id": f"toolu_{place}", "name": "weather", "input": {"city": place}} for place in _PLACES
]
_CLAUDE_RESULTS = [
    {"type": "tool_result", "tool_use_id": "toolu_Seoul", "content": "Sunny"},
    {"type": "tool_result", "tool_use_id": "toolu_Busan", "content": "no such city", "is_error": True, **_CACHED},
]

CLAUDE_CODE = (
    Shape(
        "system's message after the user's, adaptive thinking, output_config, context_management",
        "messages",
        "/v1/messages?beta=true",
        "stream",
        {**_CLAUDE, "messages": _CLAUDE_ASK},
        _CLAUDE_HEADERS,
    ),
    Shape(
        "results of two calls at once, one failed",
        "messages",
        "/v1/messages?beta=true",
        "stream",
        {
            **_CLAUDE,
            "messages": [
                *_CLAUDE_ASK,
                {"role": "assistant", "content": _CLAUDE_CALLS},
                {"role": "user", "content": _CLAUDE_RESULTS},
            ],
        },
        _CLAUDE_HEADERS,
    ),
)

_TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "The weather of a city", "parameters": _SCHEMA},
    }
]
_CALLS = [
    {
        "id": f"call_{place}",
        "type": "function",
        "function": {"name": "weather", "arguments": f'{{"city": "{place}"}}'},
    }
    for place in _PLACES
]
_RESULTS = [{"role": "tool", "tool_call_id": f"call_{place}", "content": "Sunny"} for place in _PLACES]
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
_AFFINITY = {"x-session-affinity": "ses_1", "x-session-id": "ses_1"}

AGENTS = (
    Shape(
        "results of two calls at once, an empty text beside them, store, max_completion_tokens",
        "chat",
        "/v1/chat/completions",
        "stream",
        {
            **_STREAMED,
            "messages": [
                {"role": "system", "content": "You help."},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "Today is Monday."}, {"type": "text", "text": "?"}],
                },
                {"role": "assistant", "content": "", "tool_calls": _CALLS},
                *_RESULTS,
            ],
            "tools": _TOOLS,
            "store": False,
            "max_completion_tokens": _TOKENS,
        },
        _STAINLESS,
    ),
    Shape(
        "a title: two messages of the user in a row",
        "chat",
        "/v1/chat/completions",
        "stream",
        {
            **_STREAMED,
            "messages": [
                {"role": "system", "content": "You write titles."},
                {"role": "user", "content": "A title for this:"},
                {"role": "user", "content": '"How is the weather?"'},
            ],
            "max_tokens": _TOKENS,
        },
        _AFFINITY,
    ),
)

_CODEX_HEADERS = {
    "accept": "text/event-stream",
    "originator": "codex_exec",
    "session-id": "a-session",
    "thread-id": "a-session",
    "x-client-request-id": "a-session",
    "x-codex-beta-features": "remote_compaction_v2",
    "x-codex-turn-metadata": '{"turn_id": "a-turn", "sandbox": "none"}',
    "x-codex-window-id": "a-session:0",
}
_CODEX = {
    "stream": True,
    "tools": [
        {"type": "function", "name": "weather", "description": "The weather of a city", "strict": False}
        | {"parameters": _SCHEMA}
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "a-session",
    "client_metadata": {"session_id": "a-session", "x-codex-window-id": "a-session:0"},
    "max_output_tokens": _TOKENS,
}
_CODEX_ASK = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "developer",
        "content": [{"type": "input_text", "text": "You help."}, {"type": "input_text", "text": "Be brief."}],
    },
    {"type": "message", "id": "msg_2", "role": "user", "content": [{"type": "input_text", "text": "Look."}]},
]

CODEX = (
    Shape(
        "no instructions, a developer's message of two parts, client_metadata, its own headers",
        "responses",
        "/v1/responses",
        "stream",
        {**_CODEX, "input": _CODEX_ASK},
        _CODEX_HEADERS,
    ),
    Shape(
        "results of two calls at once",
        "responses",
        "/v1/responses",
        "stream",
        {
            **_CODEX,
            "input": [
                *_CODEX_ASK,
                *(
                    {
                        "type": "function_call",
                        "call_id": f"call_{place}",
                        "name": "weather",
                        "arguments": f'{{"city": "{place}"}}',
                    }
                    for place in _PLACES
                ),
                *({"type": "function_call_output", "call_id": f"call_{place}", "output": "Sunny"} for place in _PLACES),
            ],
        },
        _CODEX_HEADERS,
    ),
)
