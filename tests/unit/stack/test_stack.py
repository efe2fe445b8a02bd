"""The Stack's services: one statement of command, environment, secrets and port for both runtimes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.names import GPU_OVERLAYS
from stackctl.core.stack.stack import Service
from stackctl.errors import ConfigError
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import build_plan, render_site
from tests.fakes import World, write_env


def build_both(env: str | None = None, stack: str = "") -> tuple[dict[str, Service], dict[str, Service]]:
    """Services of the compose and of the process runtime, by name."""
    world = World(env, stack)
    rendered = render_site(world.effects, load_site(world.effects))
    both = (rendered.compose_services, rendered.process_services)
    compose, process = ({service.name: service for service in services} for services in both)
    return compose, process


def test_both_runtimes_run_the_same_services_on_the_same_ports() -> None:
    compose, process = build_both()
    # What publishes the gateway's port; a process listens itself.
    assert compose.pop("ingress").port == process["api-gateway"].port
    assert {name: item.port for name, item in compose.items()} == {name: item.port for name, item in process.items()}
    assert {name: item.secrets for name, item in compose.items()} == {n: item.secrets for n, item in process.items()}


def test_a_process_listens_on_loopback_and_a_container_on_its_own_network() -> None:
    compose, process = build_both()
    for services, host in ((compose, "0.0.0.0"), (process, "127.0.0.1")):
        arguments = services["inference-chat"].arguments
        assert arguments[arguments.index("--host") + 1] == host
    assert process["api-gateway"].environment["GATEWAY_HOST"] == "127.0.0.1"


def test_a_container_asks_engines_and_its_machine_without_a_proxy() -> None:
    near = "providers: {studio: {kind: lm_studio, api_base: 'http://localhost:1234/v1', models: {a: {model: b}}}}"
    compose, process = build_both(stack=near)
    hosts = compose["api-gateway"].environment["GATEWAY_DIRECT_HOSTS"]
    assert hosts == "inference-chat,inference-embed,host.docker.internal"
    assert build_both()[0]["api-gateway"].environment["GATEWAY_DIRECT_HOSTS"] == "inference-chat,inference-embed"
    assert "GATEWAY_DIRECT_HOSTS" not in process["api-gateway"].environment


def test_the_gateway_finds_each_engine_where_it_listens() -> None:
    compose, process = build_both(write_env(CODE_MODEL="c.gguf"))
    assert compose["api-gateway"].environment["INFERENCE_CODE_URL"] == "http://inference-code:8002/v1"
    assert process["api-gateway"].environment["INFERENCE_CODE_URL"] == "http://127.0.0.1:8002/v1"


def test_a_service_gets_only_its_own_secrets() -> None:
    stack = "providers: {o: {kind: openai, api_key: OPENAI_KEY, headers: {X-T: TENANT}, models: {g: {model: m}}}}"
    compose, _ = build_both(write_env(OPENAI_KEY="k", TENANT="t"), stack)
    assert compose["inference-chat"].secrets == {"LLAMA_API_KEY": "INFERENCE_API_KEY"}
    assert set(compose["api-gateway"].secrets) == {
        "GATEWAY_ADMIN_KEY",
        "GATEWAY_KEY",
        "INFERENCE_API_KEY",
        "OPENAI_KEY",
        "TENANT",
    }


@pytest.mark.parametrize("devices", ["all", "1"])
def test_a_variable_that_env_holds_takes_the_place_of_ours(devices: str) -> None:
    stack = "models: {m: {file: m.gguf, environment: {GOMP_SPINCOUNT: '${A}', LLAMA_ARG_LOG_VERBOSITY: '${A}'}}}"
    world = World(write_env(A="x", GPU_DEVICES=devices), stack)
    rendered = render_site(world.effects, load_site(world.effects))
    for services in (rendered.compose_services, rendered.process_services):
        (engine,) = (service for service in services if service.name == "inference-m")
        assert not engine.environment.keys() & engine.secrets.keys()
        assert engine.secrets["GOMP_SPINCOUNT"] == "A"
    for name in GPU_OVERLAYS.values():
        overlay = yaml.safe_load(rendered.files[name])["services"]
        assert overlay["inference-chat"]["environment"]["LLAMA_ARG_LOG_VERBOSITY"] == "4"
        other = overlay["inference-m"].get("environment", {"none": ""})
        assert other
        assert "LLAMA_ARG_LOG_VERBOSITY" not in other


@pytest.mark.parametrize("name", ["GATEWAY_WORKERS", "HOME", "PROVIDER_O_URL"])
def test_a_provider_cannot_take_its_key_from_what_the_gateway_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=f"takes a secret from {name}"):
        build_both(
            write_env(**{name: "1"}),
            f"providers: {{o: {{kind: openai, api_key: {name}, models: {{g: {{model: m}}}}}}}}",
        )


def test_a_plan_holds_every_secret_by_value_and_shows_none() -> None:
    world = World()
    loaded = load_site(world.effects)
    plan = build_plan(loaded, render_site(world.effects, loaded), "compose", "none")
    assert plan.secrets["inference-chat"] == {"LLAMA_API_KEY": "planted-engine-key"}
    assert plan.variables["GATEWAY_KEY"] == "planted-gateway-key"
    assert "planted" not in repr(plan)


@pytest.mark.parametrize("field", ["port", "arguments", "environment", "secrets"])
def test_the_digest_changes_with_everything_that_a_service_reads(field: str) -> None:
    service = build_both()[0]["api-gateway"]
    other = {"port": 1, "arguments": ("x",), "environment": {"A": "1"}, "secrets": {"A": "B"}}[field]
    assert replace(service, **{field: other}).digest != service.digest  # type: ignore[arg-type]
    assert replace(service).digest == service.digest


def test_an_engine_gets_longer_the_bigger_its_model_is() -> None:
    compose, _ = build_both(write_env(CHAT_MODEL="8b.gguf"))
    big, small = compose["inference-chat"], compose["inference-embed"]
    assert big.ready_timeout_s - small.ready_timeout_s > 60


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000"),
    ],
)
def test_the_gateways_url_is_one_that_this_machine_can_call(address: str, url: str) -> None:
    assert find_gateway_url(Settings(bind_address=address)) == url
