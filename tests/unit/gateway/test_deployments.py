"""What the gateway is told of each model and its server: what it takes, and how much at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.gateway.config import GatewayProvider, Timeouts
from stackctl.core.gateway.deployments import build_gateway_config, limit_slots
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.stackfile import StackFile
from stackctl.operations.site.load import load_site
from tests.fakes import World

CHAT, EMBED = load_site(World().effects).process.models


@pytest.mark.parametrize(
    ("has_tools", "arguments", "environment", "tools", "images"),
    [
        (True, (), {}, True, False),
        (False, (), {}, False, False),
        (True, ("--chat-template", "chatml"), {}, None, False),
        (False, ("--chat-template-file=x.jinja",), {}, None, False),
        (True, ("--mmproj", "p.gguf"), {}, True, True),
        (True, ("--mmproj=p.gguf",), {}, True, True),
        (True, (), {"LLAMA_ARG_MMPROJ": "p.gguf"}, True, True),
        (True, ("--mmproj-offload",), {}, True, False),
    ],
)
def test_tools_and_images_are_what_the_template_and_the_projector_take(
    has_tools: bool,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    tools: bool | None,
    images: bool,
) -> None:
    header = replace(CHAT.header, has_tools=has_tools)
    model = replace(CHAT, header=header, arguments=arguments, environment=environment)
    (deployment,) = build_gateway_config(Settings(), StackFile(), (model,), ()).deployments
    assert (deployment.takes_tools, deployment.takes_images) == (tools, images)


def test_embeddings_are_asked_neither_for_tools_nor_for_images() -> None:
    (deployment,) = build_gateway_config(Settings(), StackFile(), (EMBED,), ()).deployments
    assert (deployment.takes_tools, deployment.takes_images) == (None, None)


def test_settings_of_the_gateway_reach_its_configuration() -> None:
    settings = Settings(
        gateway_formats="chat,messages",
        gateway_embeddings=False,
        gateway_queue_length=7,
        gateway_queue_wait_s=8,
        gateway_cors_origins="https://a.example,http://b:3000",
        gateway_request_timeout_s=90,
    )
    config = build_gateway_config(settings, StackFile(), (CHAT,), ())
    assert (config.formats, config.has_embeddings) == (("chat", "messages"), False)
    assert (config.queue_length, config.queue_wait_s) == (7, 8)
    assert config.cors_origins == ("https://a.example", "http://b:3000")
    assert config.providers[0].timeouts == Timeouts(5, 90, 90, 90)
    assert config.routes[0].deadline_s == 90


def test_an_engine_gets_no_more_at_once_than_it_has_slots_in_either_runtime() -> None:
    config = build_gateway_config(Settings(), StackFile(), (CHAT,), ())
    single = build_gateway_config(Settings(), StackFile(), (replace(CHAT, slots=1),), ())
    assert [provider.slots for provider in config.providers] == [4]
    for both in (limit_slots(config, single), limit_slots(single, config)):
        assert [provider.slots for provider in both.providers] == [1]
    remote = replace(config, providers=(GatewayProvider("p", "vllm", False, Timeouts(1, 1, 1, 1)),))
    assert limit_slots(remote, remote) == remote
