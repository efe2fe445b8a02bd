"""What each kind of server is sent for a request in Anthropic's format."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from gateway.catalog.values import Provider, Route, Target
from gateway.formats.call import Call
from gateway.lanes.choose import build_stream_request

BODY: dict[str, Any] = {
    "model": "claude-x",
    "max_tokens": 5,
    "stream": True,
    "top_k": 3,
    "stop_sequences": ["END"],
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "high"},
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""}]},
        {"role": "user", "content": "b"},
    ],
}


def _send(kind: str) -> dict[str, Any]:
    target = Target("m", Provider("p", kind), "upstream-m", "chat", "http://server.test/v1")
    request = build_stream_request(Call("messages", BODY, "claude-x", "id"), target, Route("m", (target,)))
    assert request.path == "/chat/completions"
    sent = orjson.loads(request.body)
    assert isinstance(sent, dict)
    return sent


@pytest.mark.parametrize("kind", ["openai", "openai-compatible", "internal"])
def test_a_strict_server_is_sent_nothing_but_openais_fields(kind: str) -> None:
    sent = _send(kind)
    assert sent.keys() == {"model", "max_tokens", "messages", "stop", "stream", "stream_options"}
    assert all(message.keys() == {"role", "content"} for message in sent["messages"])


@pytest.mark.parametrize("kind", ["engine", "vllm-engine", "vllm", "lm_studio", "ollama"])
def test_a_server_that_knows_more_is_sent_what_the_client_wishes(kind: str) -> None:
    sent = _send(kind)
    assert sent["top_k"] == 3
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}
    assert sent["messages"][1]["reasoning_content"] == "t"
    assert sent.get("return_progress", False) is kind.endswith("engine")
