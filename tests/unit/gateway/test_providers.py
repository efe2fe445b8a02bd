"""Providers in LiteLLM's terms: prefixes, addresses, and what a container calls this machine."""

from __future__ import annotations

import pytest

from stackctl.core.gateway.providers import PREFIXES, RemoteEndpoint, list_endpoints
from stackctl.core.settings.stackfile import Provider, ProviderKind, RemoteModel, StackFile


def build_endpoint(url: str = "http://h/v1", kind: ProviderKind = "openai", name: str = "p") -> RemoteEndpoint:
    provider = Provider(kind=kind, api_base=url, models={"m": RemoteModel(model="org/x:1")})
    (endpoint,) = list_endpoints(StackFile(providers={name: provider}))
    return endpoint


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("openai", "openai/org/x:1"),
        ("anthropic", "anthropic/org/x:1"),
        ("lm_studio", "lm_studio/org/x:1"),
        ("ollama", "ollama_chat/org/x:1"),
        ("vllm", "hosted_vllm/org/x:1"),
        ("openai-compatible", "openai/org/x:1"),
    ],
)
def test_each_kind_has_litellms_prefix(kind: ProviderKind, model: str) -> None:
    assert build_endpoint(kind=kind).litellm_model == model
    assert kind in PREFIXES


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("http://localhost:1234/v1", "http://host.docker.internal:1234/v1"),
        ("http://127.0.0.1/v1?a=b", "http://host.docker.internal/v1?a=b"),
        ("http://[::1]:1234/v1", "http://host.docker.internal:1234/v1"),
        ("http://LOCALHOST:1234", "http://host.docker.internal:1234"),
        ("http://user:word@localhost:1234/v1", "http://user:word@host.docker.internal:1234/v1"),
        ("https://localhost.example.com/v1", "https://localhost.example.com/v1"),
        ("https://api.example.com/v1", "https://api.example.com/v1"),
    ],
)
def test_a_container_calls_this_machine_by_another_name(url: str, inside: str) -> None:
    endpoint = build_endpoint(url)
    assert endpoint.find_url(in_container=True) == inside
    assert endpoint.find_url(in_container=False) == url
    assert endpoint.is_on_this_machine is (inside != url)


@pytest.mark.parametrize(("name", "variable"), [("lm-studio", "PROVIDER_LM_STUDIO_URL"), ("회사", "PROVIDER____URL")])
def test_the_address_is_in_a_variable_that_a_shell_takes(name: str, variable: str) -> None:
    assert build_endpoint(name=name).url_variable == variable
