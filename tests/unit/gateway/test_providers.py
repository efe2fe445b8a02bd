"""Providers in LiteLLM's terms: prefixes, addresses, and what a container calls this machine."""

from __future__ import annotations

import pytest

from stackctl.core.gateway.config import Timeouts
from stackctl.core.gateway.providers import PREFIXES, RemoteEndpoint, build_provider, list_endpoints
from stackctl.core.settings.stackfile import (
    IdentityHeaders,
    Provider,
    ProviderKind,
    ProviderTimeouts,
    RemoteModel,
    StackFile,
)


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
        ("internal", "openai/org/x:1"),
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


def test_ollamas_embeddings_have_a_prefix_of_their_own() -> None:
    models = {"e": RemoteModel(model="nomic", mode="embedding")}
    provider = Provider(kind="ollama", api_base="http://h:11434", models=models)
    (endpoint,) = list_endpoints(StackFile(providers={"p": provider}))
    assert endpoint.litellm_model == "ollama/nomic"


def test_an_internal_api_is_told_who_asks_in_headers_whose_names_can_be_changed() -> None:
    provider = Provider(
        kind="internal",
        api_base="http://h/v1",
        headers={"X-Tenant": "TENANT"},
        ticket="TICKET",
        user_id="USER_ID",
        user_type="USER_TYPE",
        header_names=IdentityHeaders(user_type="X-Kind"),
        models={"m": RemoteModel(model="x")},
    )
    (endpoint,) = list_endpoints(StackFile(providers={"p": provider}))
    assert dict(endpoint.headers) == {
        "X-Tenant": "TENANT",
        "x-dep-ticket": "TICKET",
        "User-Id": "USER_ID",
        "X-Kind": "USER_TYPE",
    }


@pytest.mark.parametrize(
    ("url", "local", "proxied", "expected"),
    [
        ("https://api.example.com/v1", False, None, True),
        ("https://api.example.com/v1", False, False, False),
        ("http://192.0.2.7/v1", False, None, True),
        ("http://192.0.2.7/v1", True, None, False),
        ("http://localhost:1234/v1", False, None, False),
        ("http://localhost:1234/v1", False, True, True),
    ],
)
def test_only_what_lies_outside_is_asked_through_the_companys_proxy(
    url: str, local: bool, proxied: bool | None, expected: bool
) -> None:
    models = {"m": RemoteModel(model="x")}
    provider = Provider(kind="vllm", api_base=url, local=local, proxied=proxied, models=models)
    (endpoint,) = list_endpoints(StackFile(providers={"p": provider}))
    built = build_provider("p", provider, endpoint, 600)
    assert (built.is_local, built.is_proxied) == (local, expected), "local is what was declared, whatever the address"


@pytest.mark.parametrize(
    ("given", "request_s", "expected"),
    [
        (ProviderTimeouts(), 600, Timeouts(10, 120, 120, 600)),
        (ProviderTimeouts(), 60, Timeouts(10, 60, 60, 60)),
        (ProviderTimeouts(), 5, Timeouts(5, 5, 5, 5)),
        (ProviderTimeouts(connect=1, first_token=2, between_tokens=3, whole=4), 600, Timeouts(1, 2, 3, 4)),
        (ProviderTimeouts(whole=30), 600, Timeouts(10, 30, 30, 30)),
        (ProviderTimeouts(first_token=300), 600, Timeouts(10, 300, 120, 600)),
    ],
)
def test_time_outs_that_nobody_gave_fit_into_the_whole_time(
    given: ProviderTimeouts, request_s: float, expected: Timeouts
) -> None:
    provider = Provider(kind="vllm", api_base="http://h/v1", timeouts=given, models={"m": RemoteModel(model="x")})
    (endpoint,) = list_endpoints(StackFile(providers={"p": provider}))
    assert build_provider("p", provider, endpoint, request_s).timeouts == expected
