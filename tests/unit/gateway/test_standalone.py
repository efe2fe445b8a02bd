"""The same routes in the terms of LiteLLM's own proxy."""

from __future__ import annotations

import re

from stackctl.core.gateway.config import (
    Deployment,
    GatewayAlias,
    GatewayConfig,
    GatewayProvider,
    GatewayRoute,
    Timeouts,
)
from stackctl.core.gateway.standalone import StandaloneConfig, build_standalone
from tests.fakes import CHECKOUT

ENGINE = GatewayProvider("inference-chat", "engine", True, Timeouts(5, 600, 120, 600), slots=4, fresh_connections=True)
CLOUD = GatewayProvider("cloud", "openai", False, Timeouts(5, 20, 20, 90))
CHAT = Deployment("local-chat", "hosted_vllm/local-chat", "os.environ/A", "none", "chat", "inference-chat")
GPT = Deployment("gpt", "openai/gpt-x", "", "os.environ/KEY", "chat", "cloud", headers=(("X-T", "os.environ/T"),))


def build(*routes: GatewayRoute, aliases: tuple[GatewayAlias, ...] = ()) -> StandaloneConfig:
    own = (GatewayRoute("local-chat", ("local-chat",), 2, 600), GatewayRoute("gpt", ("gpt",), 2, 600))
    named = {route.name: route for route in (*own, *routes)}
    return build_standalone(GatewayConfig((CHAT, GPT), (ENGINE, CLOUD), tuple(named.values()), aliases), (), ())


def served(config: StandaloneConfig) -> dict[str, str]:
    return {item.served_name: item.model for item in config.deployments}


def test_a_deployment_has_the_time_and_the_connections_of_its_provider() -> None:
    chat, gpt = build().deployments
    assert (chat.timeout_s, chat.headers) == (600, (("Connection", "close"),))
    assert (gpt.timeout_s, gpt.headers) == (90, (("X-T", "os.environ/T"),))


def test_a_route_gives_its_retries_and_defaults() -> None:
    chat, _ = build(GatewayRoute("local-chat", ("local-chat",), 0, 600, defaults={"max_tokens": 9})).deployments
    assert (chat.num_retries, chat.defaults) == (0, {"max_tokens": 9})


def test_a_name_without_a_model_is_served_by_its_first_target() -> None:
    config = build(GatewayRoute("team", ("gpt", "local-chat"), 1, 600))
    assert served(config) == {"local-chat": CHAT.model, "gpt": GPT.model, "team": GPT.model}
    assert config.fallbacks == (("team", ("local-chat",)),)


def test_a_model_whose_name_means_another_keeps_a_name_of_its_own_where_it_is_named() -> None:
    config = build(GatewayRoute("local-chat", ("gpt", "local-chat"), 1, 600))
    assert served(config) == {"local-chat": GPT.model, "gpt": GPT.model, "local-chat@inference-chat": CHAT.model}
    assert config.fallbacks == (("local-chat", ("local-chat@inference-chat",)),)


def test_a_model_whose_name_means_another_is_left_out_where_nobody_names_it() -> None:
    assert served(build(GatewayRoute("local-chat", ("gpt",), 1, 600))) == {"local-chat": GPT.model, "gpt": GPT.model}


def test_an_alias_is_served_by_its_route_s_first_target() -> None:
    aliases = (GatewayAlias("gpt-4o", "local-chat"), GatewayAlias("claude-*", "local-chat"))
    config = build(GatewayRoute("local-chat", ("local-chat", "gpt"), 1, 600), aliases=aliases)
    assert served(config)["claude-*"] == served(config)["gpt-4o"] == CHAT.model
    assert config.fallbacks == (("local-chat", ("gpt",)), ("gpt-4o", ("gpt",)))


def test_the_tests_proxy_is_of_the_version_that_the_gateway_is_locked_to() -> None:
    """'make lock-litellm-proxy' resolves it again."""
    locks = ("services/api-gateway/requirements.lock", "tests/litellm_proxy/requirements.lock")
    texts = [(CHECKOUT / lock).read_text(encoding="utf-8") for lock in locks]
    pinned = [re.findall(r"^litellm==(\S+)", text, re.MULTILINE) for text in texts]
    assert pinned[0] == pinned[1] != []
