"""The allow-list of fields: the SDKs' own are decided, and what clients were seen to send passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_params
from anthropic.types.beta import message_create_params as beta_create_params
from gateway.policy.fields import TABLES, check_fields
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import input_token_count_params, response_create_params

from tests.unit.gateway.least_requests import LEAST


def list_names(*types: Any) -> set[str]:
    """The fields of an SDK's request types: a TypedDict with its bases, or a union of them."""
    names: set[str] = set()
    for kind in types:
        for one in get_args(kind) or (kind,):
            names |= set(one.__required_keys__ | one.__optional_keys__)
    return names


@pytest.mark.parametrize(
    ("request_format", "types"),
    [
        ("chat", [chat_create_params.CompletionCreateParams]),
        ("completions", [completion_create_params.CompletionCreateParams]),
        ("embeddings", [embedding_create_params.EmbeddingCreateParams]),
        ("responses", [response_create_params.ResponseCreateParams, input_token_count_params.InputTokenCountParams]),
        (
            "messages",
            [
                message_create_params.MessageCreateParams,
                message_count_tokens_params.MessageCountTokensParams,
                beta_create_params.MessageCreateParams,
                beta_count_params.MessageCountTokensParams,
            ],
        ),
    ],
)
def test_every_field_of_the_sdks_is_decided(request_format: str, types: list[Any]) -> None:
    names = list_names(*types)
    assert "model" in names
    undecided = sorted(names - TABLES[request_format].fields.keys())
    assert undecided == [], f"decide on them in gateway/policy/tables: {undecided}"


# What clients were seen to send, field by field; values are examples.
CLIENTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Claude Code": (
        "messages",
        {
            "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "f", "input_schema": {}}],
            "metadata": {"user_id": "u"},
            "thinking": {"type": "adaptive"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
            "output_config": {"effort": "high"},
            "temperature": 1,
            "stream": True,
        },
    ),
    "Claude Code, counting": ("messages_count", {"tools": [], "thinking": {"type": "enabled", "budget_tokens": 9}}),
    "Codex": (
        "responses",
        {
            "instructions": "x",
            "input": [{"type": "message", "role": "user", "content": []}],
            "tools": [{"type": "function", "name": "f"}],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "reasoning": {"effort": "medium", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "k",
            "service_tier": "auto",
            "client_metadata": {"x-codex-installation-id": "i"},
            "text": {"verbosity": "medium"},
        },
    ),
    "opencode": (
        "chat",
        {
            "max_tokens": 32000,
            "temperature": 0,
            "top_p": 1,
            "tools": [{"type": "function"}],
            "tool_choice": "auto",
            "stream": True,
            "stream_options": {"include_usage": True},
            "reasoning_effort": "medium",
        },
    ),
    "Continue": (
        "chat",
        {"max_tokens": 4096, "stop": ["</s>"], "prediction": {"type": "content", "content": "x"}, "stream": True},
    ),
    "Cline": ("chat", {"temperature": 0, "stream": True, "stream_options": {"include_usage": True}}),
    "aider": ("chat", {"temperature": 0, "stream": True}),
    "LangChain": (
        "chat",
        {"n": 1, "logprobs": False, "seed": 7, "parallel_tool_calls": False, "response_format": {"type": "text"}},
    ),
    "LangChain's embeddings": ("embeddings", {"input": [[1, 2], [3]], "encoding_format": "base64"}),
    "llama.cpp's page": (
        "chat",
        {
            "max_tokens": -1,
            "cache_prompt": True,
            "samplers": ["top_k", "temperature"],
            "timings_per_token": True,
            "return_progress": True,
            "reasoning_format": "auto",
            "dry_multiplier": 0,
            "top_k": 40.0,
        },
    ),
    "vLLM's users": ("chat", {"repetition_penalty": 1.1, "chat_template_kwargs": {"enable_thinking": False}}),
    "Open WebUI": ("chat", {"metadata": {"chat_id": "c"}, "keep_alive": "5m", "stream": True}),
    "Dify's reranker": ("rerank", {"top_n": 3, "return_documents": True}),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_clients_send_passes(client: str) -> None:
    request_format, fields = CLIENTS[client]
    check_fields(request_format, {**LEAST[request_format], **fields})
