"""Derived values of containers: images by GPU, memory limits, mounts, published addresses."""

from __future__ import annotations

import pytest

from stackctl.core.engine.engines import OFFICIAL_IMAGES
from stackctl.core.stack.compose_view import build_compose_view
from stackctl.core.stack.container import Container
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import World, write_env

MIB = 1024 * 1024


def build_containers(stack: str = "", **env: object) -> dict[str, Container]:
    world = World(write_env(**env), stack)
    loaded = load_site(world.effects)
    view = build_compose_view(loaded.compose, render_site(world.effects, loaded).compose_services, loaded.images)
    return {container.name: container for container in view.containers}


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("24g", 24 * 1024 * MIB), ("512m", 512 * MIB), ("600000k", 600_000 * 1024)]
)
def test_a_memory_limit_is_taken_as_written(text: str, size: int) -> None:
    containers = build_containers(INFERENCE_MEMORY_LIMIT=text, GATEWAY_MEMORY_LIMIT=text)
    assert {container.mem_limit for name, container in containers.items() if name != "ingress"} == {size}


def test_an_automatic_limit_grows_with_what_it_is_for() -> None:
    small = build_containers(CHAT_MODEL="8b.gguf", CONTEXT_LENGTH=1024, INFERENCE_SLOTS=1)
    big = build_containers(CHAT_MODEL="8b.gguf", CONTEXT_LENGTH=32768, INFERENCE_SLOTS=4, GATEWAY_WORKERS=4)
    assert small["inference-chat"].mem_limit > 4_900_000_000, "more than the weights"
    assert big["inference-chat"].mem_limit > small["inference-chat"].mem_limit
    assert big["api-gateway"].mem_limit > small["api-gateway"].mem_limit
    assert small["inference-chat"].mem_limit % (256 * MIB) == 0


def test_each_gpu_has_the_official_image_for_it() -> None:
    engine = build_containers()["inference-chat"]
    assert engine.image == OFFICIAL_IMAGES["none"]
    assert engine.gpu_images == {gpu: OFFICIAL_IMAGES[gpu] for gpu in ("nvidia", "amd", "vulkan")}


def test_an_image_that_is_built_here_is_never_pulled() -> None:
    containers = build_containers(INFERENCE_ENGINE="llama-cpp-python")
    assert {container.pull_policy for container in containers.values()} == {"never"}
    assert build_containers()["inference-chat"].pull_policy == "missing"
    assert build_containers(GATEWAY_IMAGE="g:1")["api-gateway"].pull_policy == "missing"


def test_the_health_check_uses_what_the_image_has() -> None:
    assert build_containers()["inference-chat"].healthcheck[1] == "curl"
    assert build_containers(INFERENCE_ENGINE="llama-cpp-python")["inference-chat"].healthcheck[1] == "python3"
    assert build_containers()["api-gateway"].healthcheck[1] == "python3"


def test_a_container_sees_its_own_model_and_nothing_else() -> None:
    mounts = build_containers(CHAT_MODEL="deep/8b.gguf")["inference-chat"].mounts
    assert [(mount.source, mount.target) for mount in mounts] == [("/site/models/deep/8b.gguf", "/models/8b.gguf")]


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_only_the_gateway_is_published(address: str, shown: str) -> None:
    containers = build_containers(BIND_ADDRESS=address)
    assert containers["ingress"].ports == (f"{shown}:8000:8000",)
    assert containers["inference-chat"].ports == ()


def test_a_redis_elsewhere_is_reached_over_a_network_with_a_way_out() -> None:
    gateway = build_containers(
        GATEWAY_REDIS_URL="rediss://gate@redis.example:6380/3",
        GATEWAY_REDIS_PASSWORD="planted-redis-password",
        GATEWAY_REDIS_AWAY="refuse",
    )["api-gateway"]
    assert gateway.networks == ("inference", "providers")
    assert gateway.name_servers == ()
    assert gateway.environment["GATEWAY_REDIS_URL"] == "rediss://gate@redis.example:6380/3"
    assert gateway.environment["GATEWAY_REDIS_AWAY"] == "refuse"
    assert gateway.secrets["GATEWAY_REDIS_PASSWORD"] == "GATEWAY_REDIS_PASSWORD"
    assert build_containers()["api-gateway"].networks == ("inference",)


CHAT = {"STACK_APPS": "chat-api", "CHAT_API_GATEWAY_KEY": "planted-chat-api-key", "CHAT_API_SESSIONS": "disk"}


def test_a_service_of_the_stack_s_own_meets_the_gateway_alone_and_the_ingress_publishes_it() -> None:
    containers = build_containers(**CHAT, CHAT_API_PORT=6001)
    chat, ingress = containers["chat-api"], containers["ingress"]
    assert (chat.networks, chat.ports, chat.name_servers) == (("chat-api",), (), ("127.0.0.1",))
    assert ingress.ports == ("127.0.0.1:8000:8000", "127.0.0.1:6001:6001")
    # What is published beyond loopback is the gateway alone.
    assert build_containers(**CHAT, BIND_ADDRESS="0.0.0.0")["ingress"].ports[1] == "127.0.0.1:5601:5601"
    assert {name for name, item in containers.items() if "chat-api" in item.networks} == {
        "api-gateway", "chat-api", "ingress"
    }  # fmt: skip


def test_its_database_opens_the_way_that_leads_there_and_the_gateway_gets_none_by_it() -> None:
    near = build_containers(**CHAT, CHAT_API_DATABASE_URL="postgresql://u:planted@postgres/d")
    assert (near["chat-api"].networks, near["chat-api"].reaches_host) == (("chat-api", "apps"), False)
    far = build_containers(**CHAT, CHAT_API_DATABASE_URL="postgresql://u:planted@db.example/d")
    assert (far["chat-api"].networks, far["chat-api"].name_servers) == (("chat-api", "providers"), ())
    assert far["api-gateway"].networks == ("inference", "chat-api")
    assert far["chat-api"].volumes == {}
    assert build_containers(**CHAT)["chat-api"].volumes == {"chat-api-data": "/var/lib/chat-api"}


def test_a_redis_of_the_site_s_own_comes_before_the_app() -> None:
    own = {"STACK_APPS": "redis", "REDIS_PASSWORD": "planted-redis-password"}
    apps = build_containers(**own)["api-gateway"]
    assert apps.environment["GATEWAY_REDIS_URL"] == "redis://redis:16379/0"
    assert apps.secrets["GATEWAY_REDIS_PASSWORD"] == "REDIS_PASSWORD"
    elsewhere = build_containers(**own, GATEWAY_REDIS_URL="redis://redis.example")["api-gateway"]
    assert elsewhere.environment["GATEWAY_REDIS_URL"] == "redis://redis.example"
    assert "GATEWAY_REDIS_PASSWORD" not in elsewhere.secrets
