"""What a provider is asked to see whether it works: its list of models, which is free, or one token. Pure.

In: a provider's endpoints and the values of their variables. Out: ``Question`` values, for an HTTP client.
Source: OpenAI API reference (list models); Anthropic API reference (list models; headers ``x-api-key`` and
``anthropic-version``); Ollama docs/openai.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.core.gateway.providers import RemoteEndpoint
from stackctl.core.settings.stackfile import Mode

ANTHROPIC_VERSION = "2023-06-01"
# Providers that have an address of their own.
OWN_ADDRESSES = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com/v1"}
_VERSIONED = frozenset({"anthropic", "ollama"})
_VERSION_PATH = "/v1"
_PING = [{"role": "user", "content": "ping"}]


@dataclass(frozen=True, slots=True)
class Question:
    """One request to a provider.

    Attributes:
        is_near: whether it is on this machine, which no proxy is asked for.
        body: sent as JSON by POST; ``None`` asks by GET.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    is_near: bool
    body: Mapping[str, Any] | None = None


def find_base(kind: str, url: str) -> str:
    """The address that a provider's paths stand behind; people leave out a version that is always the same."""
    base = (url or OWN_ADDRESSES.get(kind, "")).rstrip("/")
    return base if kind not in _VERSIONED or base.endswith(_VERSION_PATH) else base + _VERSION_PATH


def ask_models(kind: str, endpoint: RemoteEndpoint, variables: Mapping[str, str]) -> Question:
    """The question for a provider's list of models; ``endpoint`` is any of its models."""
    return _build(kind, endpoint, variables, "/models", None)


def ask_token(kind: str, endpoint: RemoteEndpoint, variables: Mapping[str, str]) -> Question:
    """The shortest question to one model: one token, one vector, or one score."""
    model = endpoint.litellm_model.partition("/")[2]
    path, body = _build_shortest(kind, endpoint.mode)
    return _build(kind, endpoint, variables, path, {"model": model, **body})


def rename_limit(question: Question) -> Question:
    """The same question for models that know the limit under its new name only, and think before they answer."""
    body = {name: value for name, value in (question.body or {}).items() if name != "max_tokens"}
    return Question(question.url, question.headers, question.is_near, {**body, "max_completion_tokens": 5})


def _build_shortest(kind: str, mode: Mode) -> tuple[str, dict[str, Any]]:
    if mode == "embedding":
        return "/embeddings", {"input": "ping"}
    if mode == "rerank":
        return "/rerank", {"query": "ping", "documents": ["pong"]}
    return "/messages" if kind == "anthropic" else "/chat/completions", {"messages": _PING, "max_tokens": 1}


def _build(
    kind: str, endpoint: RemoteEndpoint, variables: Mapping[str, str], path: str, body: Mapping[str, Any] | None
) -> Question:
    key = variables.get(endpoint.key_variable, "")
    headers = {name: variables.get(variable, "") for name, variable in endpoint.headers}
    if kind == "anthropic":
        headers |= {"anthropic-version": ANTHROPIC_VERSION, **({"x-api-key": key} if key else {})}
    elif key:
        headers["authorization"] = f"Bearer {key}"
    return Question(find_base(kind, endpoint.url) + path, headers, endpoint.is_on_this_machine, body)
