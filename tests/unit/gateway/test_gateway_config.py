"""The rendered configuration and the check of it: whatever LiteLLM or the gateway would ignore or drop is a finding."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stackctl.core.gateway.config import (
    FORMATS,
    Deployment,
    GatewayAlias,
    GatewayConfig,
    GatewayProvider,
    GatewayRoute,
    Timeouts,
)
from stackctl.core.gateway.config_check import check_gateway_config
from stackctl.core.stack.render import write_yaml
from tests.fakes import CHECKOUT

TEMPLATE = "services/api-gateway/config.p1.yaml.j2"

CHAT = Deployment(
    served_name="local-chat",
    model="hosted_vllm/local-chat",
    api_base="os.environ/INFERENCE_CHAT_URL",
    api_key="os.environ/INFERENCE_API_KEY",
    mode="chat",
    provider="inference-chat",
    context_length=4096,
    max_output_tokens=4096,
    takes_tools=True,
    takes_images=False,
)
EMBED = Deployment(
    "local-embed",
    "hosted_vllm/local-embed",
    "os.environ/INFERENCE_EMBED_URL",
    "none",
    "embedding",
    "inference-embed",
    rpm=10,
)
CLOUD = Deployment(
    "cloud",
    "openai/gpt-x",
    "",
    "os.environ/OPENAI_KEY",
    "chat",
    "openai",
    headers=(("X-Team", "os.environ/TEAM"),),
    timeout_s=30.0,
    tpm=1000,
    max_parallel_requests=2,
)
TIMEOUTS = Timeouts(5, 600, 120, 600)
ENGINES = tuple(
    GatewayProvider(name, "engine", True, TIMEOUTS, slots=4, fresh_connections=True)
    for name in ("inference-chat", "inference-embed")
)
OPENAI = GatewayProvider("openai", "openai", False, Timeouts(10, 120, 120, 600), is_proxied=True)
ROUTES = (
    GatewayRoute("local-chat", ("local-chat", "cloud"), 2, 600, defaults={"temperature": 0.2, "max_tokens": 1024}),
    GatewayRoute("local-embed", ("local-embed",), 2, 600, is_local_only=True),
)
CONFIG = GatewayConfig(
    (CHAT, EMBED, CLOUD), (*ENGINES, OPENAI), ROUTES, (GatewayAlias("claude-*", "local-chat"),), num_retries=2
)
BARE = GatewayConfig((CHAT,), (ENGINES[0],))


def render(config: GatewayConfig) -> str:
    loader = FileSystemLoader(CHECKOUT)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["yaml"] = write_yaml
    return environment.get_template(TEMPLATE).render(gateway=config)


def parse(config: GatewayConfig) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(render(config))
    return document


def test_everything_the_template_writes_is_known_to_the_check() -> None:
    assert check_gateway_config(render(CONFIG)) == ()
    assert check_gateway_config(render(BARE)) == ()


def test_the_template_writes_every_value_where_litellm_reads_it() -> None:
    document = parse(CONFIG)
    chat, embed, cloud = document["model_list"]
    assert chat["litellm_params"] == {
        "model": "hosted_vllm/local-chat",
        "api_key": "os.environ/INFERENCE_API_KEY",
        "api_base": "os.environ/INFERENCE_CHAT_URL",
        "use_chat_completions_api": True,
    }
    assert chat["model_info"] == {"mode": "chat", "max_input_tokens": 4096, "max_output_tokens": 4096}
    assert embed["litellm_params"]["rpm"] == 10
    assert "use_chat_completions_api" not in embed["litellm_params"]
    assert "api_base" not in cloud["litellm_params"]
    assert cloud["litellm_params"]["extra_headers"] == {"X-Team": "os.environ/TEAM"}
    assert (cloud["litellm_params"]["timeout"], cloud["litellm_params"]["tpm"]) == (30.0, 1000)
    assert document["litellm_settings"]["fallbacks"] == [{"local-chat": ["cloud"]}]
    assert document["router_settings"]["optional_pre_call_checks"] == ["enforce_model_rate_limits"]
    assert document["router_settings"]["num_retries"] == 2


def test_no_code_of_ours_is_named_to_litellm() -> None:
    """LiteLLM's proxy does not run any more; its callbacks and its authentication are nobody's."""
    assert "general_settings" not in parse(CONFIG)
    assert "gateway." not in render(CONFIG)


def test_the_gateways_own_section_says_what_litellm_does_not_know() -> None:
    assert parse(CONFIG)["gateway"] == {
        "formats": list(FORMATS),
        "embeddings": True,
        "queue": {"length": 4096, "wait_s": 600},
        "cors_origins": [],
        "providers": {
            "inference-chat": {
                "kind": "engine",
                "local": True,
                "fresh_connections": True,
                "slots": 4,
                "timeouts": {"connect": 5, "first_token": 600, "between_tokens": 120, "whole": 600},
            },
            "inference-embed": {
                "kind": "engine",
                "local": True,
                "fresh_connections": True,
                "slots": 4,
                "timeouts": {"connect": 5, "first_token": 600, "between_tokens": 120, "whole": 600},
            },
            "openai": {
                "kind": "openai",
                "local": False,
                "proxied": True,
                "timeouts": {"connect": 10, "first_token": 120, "between_tokens": 120, "whole": 600},
            },
        },
        "models": {
            "local-chat": {"provider": "inference-chat", "tools": True, "images": False},
            "local-embed": {"provider": "inference-embed"},
            "cloud": {"provider": "openai"},
        },
        "routes": {
            "local-chat": {
                "targets": ["local-chat", "cloud"],
                "retries": 2,
                "deadline_s": 600,
                "local_only": False,
                "defaults": {"temperature": 0.2, "max_tokens": 1024},
            },
            "local-embed": {"targets": ["local-embed"], "retries": 2, "deadline_s": 600, "local_only": True},
        },
        "aliases": [{"match": "claude-*", "route": "local-chat"}],
    }


def test_without_limits_the_router_checks_none() -> None:
    assert "optional_pre_call_checks" not in parse(BARE)["router_settings"]


def test_a_name_with_quotes_colons_and_newlines_survives() -> None:
    name = "a: b #\"x\" 'y'\n${HOME} no 1.10"
    document = parse(GatewayConfig((Deployment(name, "openai/" + name, name, "none", "chat", name),)))
    entry = document["model_list"][0]
    assert (entry["model_name"], entry["litellm_params"]["api_base"]) == (name, name)


@pytest.mark.parametrize(
    ("path", "value", "subject", "words"),
    [
        (("server",), {"port": 1}, "server", "ignored"),
        (("defaults",), {}, "defaults", "ignored"),
        (("model_list", 0, "litellm_param"), {}, "model_list[0].litellm_param", "ignored"),
        (("model_list", 0, "litellm_params", "api_bse"), "x", "model_list[0].litellm_params.api_bse", "ignored"),
        (("model_list", 0, "model_info", "context"), 1, "model_list[0].model_info.context", "ignored"),
        (("router_settings", "num_retrys"), 1, "router_settings.num_retrys", "ignored"),
        (("litellm_settings", "drop_parms"), True, "litellm_settings.drop_parms", "ignored"),
        (("general_settings",), {"master_kee": "sk-1"}, "general_settings.master_kee", "ignored"),
        (("general_settings",), {"master_key": "sk-1"}, "general_settings.master_key", "value of its own"),
        (("gateway",), None, "gateway", "no mapping"),
        (("gateway", "route"), {}, "gateway.route", "ignored"),
        (("gateway", "cache"), {"size": 1}, "gateway.cache.size", "ignored"),
        (("gateway", "cache"), 256, "gateway.cache", "no mapping"),
        (("gateway", "routes", "local-chat", "cache"), {"age": 1}, "gateway.routes.local-chat.cache.age", "ignored"),
        (("gateway", "routes", "local-chat", "cache"), True, "gateway.routes.local-chat.cache", "no mapping"),
        (("gateway", "queue", "size"), 1, "gateway.queue.size", "ignored"),
        (("gateway", "queue"), 4096, "gateway.queue", "no mapping"),
        (("gateway", "providers", "openai", "is_local"), True, "gateway.providers.openai.is_local", "ignored"),
        (("gateway", "providers", "openai", "timeouts", "total"), 1, "gateway.providers.openai.timeouts", "ignored"),
        (("gateway", "models", "cloud", "tool"), True, "gateway.models.cloud.tool", "ignored"),
        (("gateway", "models", "cloud", "provider"), "opnai", "gateway.models.cloud.provider", "'opnai'"),
        (("gateway", "models", "clod"), {"provider": "openai"}, "gateway.models.clod", "'clod'"),
        (("gateway", "models"), {}, "gateway.models", "'cloud'"),
        (("gateway", "routes", "local-chat", "target"), [], "gateway.routes.local-chat.target", "ignored"),
        (("gateway", "routes", "local-chat", "targets"), [], "gateway.routes.local-chat.targets", "not there"),
        (("gateway", "routes", "local-chat", "targets"), ["x"], "gateway.routes.local-chat.targets", "'x'"),
        (("gateway", "aliases", 0, "route"), "cloud", "gateway.aliases[0]", "'cloud'"),
        (("gateway", "aliases", 0, "to"), "cloud", "gateway.aliases[0].to", "ignored"),
        (("gateway", "aliases"), {}, "gateway.aliases", "no list"),
        (("model_list", 0, "litellm_params", "model"), "llamacpp/x", "model_list[0].litellm_params.model", "drops"),
        (("model_list", 0, "litellm_params", "model"), "local-chat", "model_list[0].litellm_params.model", "drops"),
        (("model_list", 0, "litellm_params", "model"), "openai/", "model_list[0].litellm_params.model", "drops"),
        (("model_list", 0, "litellm_params", "model"), None, "model_list[0].litellm_params.model", "drops"),
        (("model_list", 1, "model_name"), "local-chat", "model_list[1].model_name", "twice"),
        (("model_list", 1, "model_name"), "", "model_list[1].model_name", "expected a served name"),
        (("model_list", 1), "x", "model_list[1]", "no mapping"),
        (("model_list",), None, "model_list", "no list"),
        (("general_settings",), [], "general_settings", "no mapping"),
        (("litellm_settings", "fallbacks", 0), {"local-chat": ["cluod"]}, "litellm_settings.fallbacks", "'cluod'"),
        (("litellm_settings", "fallbacks", 0), {"other": ["cloud"]}, "litellm_settings.fallbacks", "'other'"),
    ],
)
def test_what_litellm_would_ignore_or_drop_is_named(
    path: tuple[Any, ...], value: Any, subject: str, words: str
) -> None:
    document = copy.deepcopy(parse(CONFIG))
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    findings = check_gateway_config(yaml.safe_dump(document))
    assert any(finding.subject.startswith(subject) and words in finding.message for finding in findings), findings


def test_a_misspelled_key_comes_with_the_nearest_one_and_its_line() -> None:
    text = render(CONFIG).replace("drop_params: true", "drop_parms: true")
    (finding,) = check_gateway_config(text)
    assert finding.hint == "did you mean 'drop_params'?"
    assert text.splitlines()[finding.line - 1].strip() == "drop_parms: true"


@pytest.mark.parametrize(
    "secret_place",
    [("api_key", "sk-planted-secret"), ("extra_headers", {"Authorization": "Bearer sk-planted-secret"})],
)
def test_a_literal_secret_is_found_and_not_repeated(secret_place: tuple[str, Any]) -> None:
    document = parse(CONFIG)
    document["model_list"][0]["litellm_params"][secret_place[0]] = secret_place[1]
    (finding,) = check_gateway_config(yaml.safe_dump(document))
    assert "os.environ/NAME" in finding.hint
    assert "sk-planted-secret" not in finding.render_text() + finding.hint


def test_duplicate_keys_and_broken_yaml_are_findings() -> None:
    doubled = render(CONFIG) + "\ngateway: {}\n"
    assert any("stands twice" in finding.message for finding in check_gateway_config(doubled))
    assert check_gateway_config("model_list: [")[0].line > 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_any_document_gives_findings_and_no_exception(document: Any) -> None:
    assert check_gateway_config(yaml.safe_dump(document))


_INNER_KEYS = (
    *("model_name", "litellm_params", "model_info", "model", "extra_headers", "fallbacks", "master_key"),
    *("providers", "models", "routes", "aliases", "queue", "timeouts", "targets"),
)


@given(
    st.dictionaries(
        st.sampled_from(["model_list", "litellm_settings", "router_settings", "general_settings", "gateway"]),
        st.recursive(
            st.none() | st.text(max_size=3) | st.integers(),
            lambda v: (
                st.lists(v, max_size=3)
                | st.dictionaries(
                    st.sampled_from(_INNER_KEYS),
                    v,
                )
            ),
        ),
    )
)
@example({"model_list": [], "litellm_settings": {"fallbacks": [{"a": [[]]}]}})
def test_any_shape_of_known_keys_gives_findings_and_no_exception(document: Any) -> None:
    check_gateway_config(yaml.safe_dump(document))
