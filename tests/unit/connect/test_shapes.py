"""What the requests of tools hold that gateways stumble over."""

from __future__ import annotations

import json

import pytest

from stackctl.core.connect.tools import TOOLS

TWICE = "results of two calls at once"


@pytest.mark.parametrize(
    ("tool", "parts"),
    [
        ("claude-code", ["cache_control", "adaptive", "enabled", "output_config", "context_management", '"system": [']),
        ("claude-code", ['"role": "system"', "count_tokens", '"image"', "x-stainless-lang", TWICE]),
        (
            "codex",
            ["parallel_tool_calls", "client_metadata", "prompt_cache_key", "x-codex-turn-metadata", "zstd", TWICE],
        ),
        (
            "opencode",
            ["stream_options", "max_tokens", "reasoning_effort", "image_url", "gzip", "x-session-affinity", TWICE],
        ),
        ("pi", ["max_completion_tokens", '"store": false', "x-stainless-timeout", TWICE]),
        ("openai-python", ["base64", "parallel_tool_calls", "reasoning.encrypted_content"]),
    ],
)
def test_a_tool_s_requests_hold_what_the_tool_sends(tool: str, parts: list[str]) -> None:
    sent = [json.dumps([shape.what, shape.path, shape.body, shape.headers]) for shape in TOOLS[tool].shapes]
    assert [part for part in parts if not any(part in text for text in sent)] == []
