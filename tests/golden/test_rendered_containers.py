"""Containers as they are rendered: how they are locked down, and what each reaches and is given."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from stackctl.core.apps.app import AppService
from stackctl.core.stack.names import COMPOSE_FILE, GPU_OVERLAYS
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import World
from tests.golden.rendering import NAMES, load_case

each_case = pytest.mark.parametrize("name", NAMES)
MIB = 1024 * 1024


def load_apps(name: str) -> dict[str, AppService]:
    """The services of a case's apps in containers."""
    return {service.name: service.app for service in load_case(name)[1].compose_services if service.app}


def load_containers(name: str) -> dict[str, dict[str, Any]]:
    """The services of a case's Compose file."""
    services = yaml.safe_load(load_case(name)[1].files[COMPOSE_FILE])["services"]
    assert isinstance(services, dict)
    return services


@each_case
def test_every_container_is_locked_down(name: str) -> None:
    for service, container in load_containers(name).items():
        uid, gid = container["user"].split(":")
        assert int(uid) > 0, service
        assert int(gid) > 0, service
        assert container["read_only"] is True
        assert container["cap_drop"] == ["ALL"]
        assert container["security_opt"] == ["no-new-privileges:true"]
        assert not container.keys() & {"privileged", "network_mode", "pid", "ipc", "userns_mode"}
        # Caddy's program has a right in its file, and does not start where it could not get it; it does not get it.
        assert container.get("cap_add", []) == (["NET_BIND_SERVICE"] if service == "caddy" else [])
        # vLLM loads what it compiles for the card, from one folder of its own.
        may_run = {"/cache"} if container.get("entrypoint") == ["vllm", "serve"] else set()
        assert {item.split(":")[0] for item in container["tmpfs"] if "noexec" not in item} == may_run
        volumes = container.get("volumes", [])
        binds = [mount for mount in volumes if mount["type"] == "bind"]
        assert all(mount["read_only"] for mount in binds)
        # Compose hands the label on to the engine only together with create_host_path.
        assert all(mount["bind"]["create_host_path"] is ("selinux" in mount["bind"]) for mount in binds)
        kept = [mount["source"] for mount in volumes if mount not in binds]
        keeping = {
            "api-gateway": ["gateway-state"],
            **{item: [f"{item}-data"] for item, app in load_apps(name).items() if app.folder},
        }
        assert kept == keeping.get(service, []), "only the gateway and apps keep anything"
        assert container["pids_limit"] > 0
        assert container["restart"] == "unless-stopped"
        assert container["stop_grace_period"].endswith("s")
        assert container["logging"]["options"] == {"max-size": "20m", "max-file": "25", "compress": "true"}


@each_case
def test_every_container_has_a_memory_limit_unless_it_was_turned_off(name: str) -> None:
    settings = load_case(name)[0].settings
    for service, container in load_containers(name).items():
        app = load_apps(name).get(service)
        if app or service == "ingress":
            # The ingress holds no more than the bytes that pass.
            assert container["mem_limit"] == (app.memory_bytes if app else 128 * MIB)
            continue
        limit = settings.gateway_memory_limit if service == "api-gateway" else settings.inference_memory_limit
        assert container.get("mem_limit", 0) >= (0 if limit == "0" else 512 * MIB)
        assert ("mem_limit" in container) is (limit != "0")
        # Or it may swap as much again, and a limit that is reached slows the whole machine down.
        assert container.get("memswap_limit") == container.get("mem_limit")


@each_case
def test_images_are_pinned(name: str) -> None:
    _, rendered = load_case(name)
    for file in (COMPOSE_FILE, *GPU_OVERLAYS.values()):
        for name, container in yaml.safe_load(rendered.files[file])["services"].items():
            if name == "gpu-metrics" and file != COMPOSE_FILE:
                continue  # an overlay leaves its image
            assert re.search(r"@sha256:[0-9a-f]{64}$|:[^:/@]+$", container["image"])
            assert not container["image"].endswith(":latest")


@each_case
def test_only_the_ingress_is_published_and_only_where_the_site_says(name: str) -> None:
    loaded, rendered = load_case(name)
    document = yaml.safe_load(rendered.files[COMPOSE_FILE])
    address, port = loaded.settings.bind_address, loaded.settings.api_gateway_port
    shown = f"[{address}]" if ":" in address else address
    containers = document["services"]
    ingress, gateway = containers.pop("ingress"), containers.pop("api-gateway")
    apps = load_apps(name)
    # A service of the stack's own is on a network with the gateway and the ingress, which publishes it.
    ours = {service: apps.pop(service) for service, app in tuple(apps.items()) if app.is_own}
    own_ports = [f"{app.published_address}:{app.port}:{app.port}" for app in ours.values()]
    assert ingress["ports"] == [f"{shown}:{port}:{port}", *own_ports]
    assert ingress["networks"] == ["edge", "inference", *ours]
    assert ingress["image"] == gateway["image"]
    for service in ours:
        container = containers.pop(service)
        assert container["networks"] == [service]
        assert "ports" not in container
        assert document["networks"][service]["internal"] is True
    for service, app in apps.items():
        container, own = containers.pop(service), f"{app.published_address}:{app.port}:{app.port}"
        assert container["networks"] == (["edge", "apps"] if app.is_published else ["apps"])
        assert container.get("ports", []) == ([own] if app.is_published else [])
    providers = ["providers"] if loaded.compose.endpoints else []
    assert gateway["networks"] == ["inference", *(["apps"] if apps else []), *ours, *providers]
    assert all(document["networks"]["apps"]["internal"] is True for _ in apps)
    for container in (gateway, *containers.values()):
        assert "ports" not in container
    for container in containers.values():
        assert container["networks"] == ["inference"]
    assert document["networks"]["inference"]["internal"] is True
    assert {network["enable_ipv6"] for network in document["networks"].values()} == {False}


@each_case
def test_the_health_check_asks_the_services_own_port(name: str) -> None:
    ports = {service.name: service.port for service in load_case(name)[1].compose_services}
    for service, container in load_containers(name).items():
        if app := load_apps(name).get(service):
            assert str(ports[service]) in container["environment"].values()
            assert container["healthcheck"]["test"][-1].replace("$$", "$") == app.probe
            continue
        expected = (
            f"('127.0.0.1', {ports[service]})" if service == "ingress" else f"http://127.0.0.1:{ports[service]}/health"
        )
        assert expected in container["healthcheck"]["test"][-1]


def load_networks(stack: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The gateway and the networks of a site with this `stack.yml`."""
    world = World(stack=stack)
    document = yaml.safe_load(render_site(world.effects, load_site(world.effects)).files[COMPOSE_FILE])
    return document["services"]["api-gateway"], document["networks"]


def test_without_a_provider_the_gateway_looks_up_nothing_and_reaches_nothing() -> None:
    gateway, networks = load_networks("")
    assert (gateway["networks"], gateway["dns"]) == (["inference"], ["127.0.0.1"])
    assert "extra_hosts" not in gateway
    assert networks.keys() == {"inference", "edge"}
    assert networks["edge"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}


@pytest.mark.parametrize(
    ("addresses", "masquerade", "looks_up", "reaches_host"),
    [
        (["http://models.example/v1"], "true", True, False),
        (["http://192.0.2.7:8080/v1"], "true", False, False),
        (["http://localhost:1234/v1"], "false", False, True),
        (["http://localhost:1234/v1", "http://[2001:db8::7]:8080/v1"], "true", False, True),
        (["http://127.0.0.1:1234/v1", "https://models.example/v1"], "true", True, True),
    ],
)
def test_a_provider_gives_the_gateway_what_it_needs_and_no_more(
    addresses: list[str], masquerade: str, looks_up: bool, reaches_host: bool
) -> None:
    lines = [
        f"  p{number}: {{kind: vllm, api_base: '{address}', models: {{m{number}: {{model: m}}}}}}"
        for number, address in enumerate(addresses)
    ]
    gateway, networks = load_networks("\n".join(["version: 1", "providers:", *lines]))
    assert gateway["networks"] == ["inference", "providers"]
    options = networks["providers"]["driver_opts"]
    assert options == {"com.docker.network.bridge.enable_ip_masquerade": masquerade}
    assert ("dns" not in gateway) is looks_up
    assert ("extra_hosts" in gateway) is reaches_host


def test_a_container_reaches_a_provider_on_this_machine_under_docker_s_name_of_it() -> None:
    gateway = load_containers("providers")["api-gateway"]
    assert gateway["environment"]["PROVIDER_LM_STUDIO_URL"] == "http://host.docker.internal:1234/v1"


def test_a_process_reaches_a_provider_on_this_machine_under_its_own_name() -> None:
    gateway = load_case("providers")[1].process_services[-1]
    assert gateway.environment["PROVIDER_LM_STUDIO_URL"] == "http://localhost:1234/v1"


@pytest.mark.parametrize(("gpu", "section"), [("nvidia", "deploy"), ("amd", "devices"), ("vulkan", "devices")])
def test_an_overlay_gives_its_gpu_to_engines_only(gpu: str, section: str) -> None:
    _, rendered = load_case("three-models")
    overlay = yaml.safe_load(rendered.files[GPU_OVERLAYS[gpu]])["services"]
    assert set(overlay) == {service.name for service in rendered.compose_services if service.model}
    assert all(section in container for container in overlay.values())


def test_chosen_gpus_are_named_and_no_others() -> None:
    _, rendered = load_case("gpu-devices")
    overlays = {gpu: yaml.safe_load(rendered.files[file])["services"] for gpu, file in GPU_OVERLAYS.items()}
    (device,) = overlays["nvidia"]["inference-chat"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["0", "2"], "capabilities": ["gpu", "compute", "utility"]}
    (device,) = overlays["nvidia-cdi"]["inference-chat"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["device_ids"]) == ("cdi", ["nvidia.com/gpu=0", "nvidia.com/gpu=2"])
    assert overlays["amd"]["inference-chat"]["environment"]["HIP_VISIBLE_DEVICES"] == "0,2"
    assert overlays["vulkan"]["inference-chat"]["group_add"] == ["44", "992"]


def test_all_gpus_by_cdi_are_one_device() -> None:
    overlay = yaml.safe_load(load_case("demo")[1].files[GPU_OVERLAYS["nvidia-cdi"]])["services"]
    (device,) = overlay["inference-chat"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {
        "driver": "cdi",
        "device_ids": ["nvidia.com/gpu=all"],
        "capabilities": ["gpu", "compute", "utility"],
    }


def test_an_engine_gets_its_variables_and_limits_and_the_gateway_none_of_them() -> None:
    containers = load_containers("engine-settings")
    chat, big, gateway = (containers[name] for name in ("inference-chat", "inference-big", "api-gateway"))
    assert chat["environment"]["NVIDIA_DISABLE_REQUIRE"] == "1"
    assert chat["environment"]["GGML_CUDA_GRAPH_OPT"] == "a $$b #c"
    assert big["environment"]["NVIDIA_DISABLE_REQUIRE"] == "0", "a model's own comes before that of all"
    assert big["environment"]["VENDOR_LICENCE_KEY"].startswith("${VENDOR_LICENCE:?")
    assert (chat["ulimits"], chat["shm_size"]) == ({"core": 1, "memlock": -1}, 1 << 30)
    assert gateway["ulimits"] == {"core": 1}
    assert "shm_size" not in gateway
    assert not {"NVIDIA_DISABLE_REQUIRE", "VENDOR_LICENCE", "VENDOR_LICENCE_KEY"} & gateway["environment"].keys()
    mounts = [mount for item in containers.values() for mount in item["volumes"] if mount["type"] == "bind"]
    assert {mount["bind"]["selinux"] for mount in mounts} == {"z"}
    overlay = yaml.safe_load(load_case("engine-settings")[1].files[GPU_OVERLAYS["nvidia"]])["services"]
    verbosity = {name: item["environment"]["LLAMA_ARG_LOG_VERBOSITY"] for name, item in overlay.items()}
    assert verbosity == {"inference-chat": "4", "inference-big": "5"}


def test_the_prompt_cache_of_each_engine_is_part_of_its_memory() -> None:
    containers = load_containers("engine-settings")
    assert containers["inference-chat"]["environment"]["LLAMA_ARG_CACHE_RAM"] == "2048"
    assert containers["inference-big"]["environment"]["LLAMA_ARG_CACHE_RAM"] == "0", "32 slots need none"
    without = load_containers("demo")["inference-chat"]
    assert int(without["environment"]["LLAMA_ARG_CACHE_RAM"]) > 0, "four slots for a small team do"
    assert without["environment"]["LLAMA_ARG_CACHE_IDLE_SLOTS"] == "0"


def test_every_shard_of_a_split_model_is_in_the_container() -> None:
    engine = load_containers("split-model")["inference-chat"]
    targets = [mount["target"] for mount in engine["volumes"]]
    assert targets == [f"/models/Llama-3.3-70B-Q5_K_M-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert engine["command"][1] == targets[0]
