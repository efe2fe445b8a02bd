"""The catalogue as it is read from the rendered configuration, and from a plain one of LiteLLM's."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway.catalog.parse import parse_catalog
from gateway.catalog.values import Alias, Limits, Timeouts

GOLDEN = Path(__file__).parents[2] / "golden/cases"
ENVIRON = {
    "INFERENCE_CHAT_URL": "http://127.0.0.1:8001/v1",
    "INFERENCE_EMBED_URL": "http://127.0.0.1:8003/v1/",
    "INFERENCE_API_KEY": "engine-key",
    "OPENAI_API_KEY": "sk-o",
    "COMPANY_TOKEN": "t",
    "COMPANY_TENANT": "x",
    "PROVIDER_LM_STUDIO_URL": "http://localhost:1234/v1",
    "PROVIDER_COMPANY_URL": "https://llm.example.com/v1",
}


def read_golden(case: str) -> str:
    return (GOLDEN / case / "expected/config.p1.yaml").read_text(encoding="utf-8")


def test_the_demo_has_engines_with_slots() -> None:
    catalog = parse_catalog(read_golden("demo"), ENVIRON)
    route = catalog.routes["local-chat"]
    (target,) = route.targets
    assert (target.base_url, target.key, target.model) == ("http://127.0.0.1:8001/v1", "engine-key", "local-chat")
    assert target.provider.is_engine
    assert target.provider.is_local
    assert target.provider.fresh_connections
    assert target.provider.slots == 4
    assert catalog.routes["local-embed"].targets[0].base_url == "http://127.0.0.1:8003/v1"
    assert "engine-key" not in repr(catalog)


def test_providers_keep_their_names_keys_and_headers() -> None:
    catalog = parse_catalog(read_golden("providers"), ENVIRON)
    assert [item.name for item in catalog.routes["local-chat"].targets] == ["local-chat", "studio-chat", "gpt"]
    gpt = catalog.routes["gpt"].targets[0]
    assert (gpt.base_url, gpt.model, gpt.key) == ("https://api.openai.com/v1", "gpt-4o", "sk-o")
    assert not gpt.provider.is_local
    assert gpt.provider.slots is None
    company = catalog.routes["company-chat"].targets[0]
    assert dict(company.headers) == {"X-Tenant": "x"}


def test_a_plain_configuration_of_litellms_is_served() -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: ollama_chat/llama3, api_base: "http://h:11434"}}
  - {model_name: b, litellm_params: {model: anthropic/claude-x, api_key: none}}
litellm_settings: {request_timeout: 30, fallbacks: [{a: [b]}]}
router_settings: {num_retries: 2}
"""
    route = parse_catalog(text, {}).routes["a"]
    assert [target.base_url for target in route.targets] == ["http://h:11434/v1", "https://api.anthropic.com/v1"]
    assert (route.retries, route.deadline_s) == (2, 30.0)
    assert route.targets[1].provider.speaks_anthropic
    assert route.targets[0].provider.timeouts == Timeouts()


@pytest.mark.parametrize("text", ["", "[]", "{}", "model_list: 1", "model_list: [{}]", "model_list: [x]", ": ["])
def test_what_is_no_configuration_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="expected a mapping with a model_list"):
        parse_catalog(text, {})


@pytest.mark.parametrize(
    ("match", "name", "covers"),
    [
        ("claude-*", "claude-opus-4", True),
        ("claude-*", "claude", False),
        ("*", "x", True),
        ("gpt-4", "gpt-4", True),
        ("gpt-4", "gpt-4o", False),
        ("a.c", "abc", False),
        ("*-mini", "gpt-mini", True),
    ],
)
def test_an_alias_covers_what_it_says(match: str, name: str, covers: bool) -> None:
    assert Alias(match, "r").covers(name) is covers


def test_an_alias_of_many_stars_takes_no_time_on_a_long_name() -> None:
    assert not Alias("*a" * 40 + "b", "r").covers("a" * 100_000)


def test_a_route_may_stand_for_models_without_being_one() -> None:
    catalog = parse_catalog(
        read_golden("routes"),
        {
            "PROVIDER_COMPANY_URL": "https://llm.company.example/v1",
            "PROVIDER_LM_STUDIO_URL": "http://192.0.2.7:1234/v1",
            "PROVIDER_OLLAMA_URL": "http://localhost:11434",
            "INFERENCE_CHAT_URL": "http://127.0.0.1:8001/v1",
            "INFERENCE_CHAT_SPARE_URL": "http://127.0.0.1:8004/v1",
            "INFERENCE_EMBED_URL": "http://127.0.0.1:8003/v1",
        },
    )
    team = catalog.find("claude-sonnet-4-5")
    assert team is not None
    assert (team.name, [target.name for target in team.targets][:3]) == ("team-chat", ["house", "llama", "local-chat"])
    assert team.defaults == {"top_p": 0.9, "presence_penalty": -0.5, "frequency_penalty": 1.0}
    small = catalog.find("claude-3-haiku-2024")
    assert small is not None
    assert (small.name, small.targets[0].provider.is_local) == ("studio-chat", True)


def test_a_local_only_route_without_a_local_target_stops_the_start() -> None:
    text = """
model_list: [{model_name: gpt, litellm_params: {model: openai/gpt-x}}]
gateway:
  providers: {openai: {kind: openai, local: LOCAL}}
  models: {gpt: {provider: openai}}
  routes: {gpt: {targets: [gpt], local_only: true}}
"""
    assert parse_catalog(text.replace("LOCAL", "true"), {}).routes["gpt"].local_only
    with pytest.raises(ValueError, match="'gpt' is local_only and has no local target"):
        parse_catalog(text.replace("LOCAL", "false"), {})


def test_a_provider_has_limits_of_its_own() -> None:
    catalog = parse_catalog(read_golden("providers"), ENVIRON)
    limits = {target.provider.name: target.provider.limits for target in catalog.targets}
    assert limits.pop("company") == Limits(120, 200_000, 16)
    assert set(limits.values()) == {Limits()}


def test_a_provider_s_pace_is_told_in_milliseconds() -> None:
    addresses = {f"PROVIDER_{name}_URL": "http://h/v1" for name in ("OLLAMA", "VLLM", "MYCODER")}
    catalog = parse_catalog(read_golden("seed-names-development"), ENVIRON | addresses)
    paces = {target.provider.name: target.provider.min_interval_s for target in catalog.targets}
    assert paces["mycoder"] == 0.5
    assert set(paces.values()) == {0.0, 0.5}
