"""The rehearsal's Compose project: the same services with the same restrictions, each in a watched namespace."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from stackctl.core.proof.rehearsal import build_rehearsal_files, list_images
from tests.golden.rendering import load_expected

COMPOSE = "compose.p1.yml"
SERVICES = ("inference-chat", "inference-embed", "ingress", "api-gateway")
NETWORK_KEYS = {"networks", "ports", "extra_hosts", "dns"}


def build_services(files: dict[str, str]) -> dict[str, Any]:
    services = json.loads(build_rehearsal_files(files, "script")[COMPOSE])["services"]
    assert isinstance(services, dict)
    return services


@pytest.fixture
def before() -> dict[str, Any]:
    return dict(yaml.safe_load(load_expected("demo")[COMPOSE])["services"])


@pytest.fixture
def after() -> dict[str, Any]:
    return build_services(load_expected("demo"))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_keeps_everything_but_its_network(
    before: dict[str, Any], after: dict[str, Any], service: str
) -> None:
    changed = {"pull_policy", "network_mode", "depends_on"}
    kept = {key: value for key, value in before[service].items() if key not in NETWORK_KEYS | changed}
    assert {key: value for key, value in after[service].items() if key not in changed} == kept


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_in_a_namespace_that_is_watched_already(
    before: dict[str, Any], after: dict[str, Any], service: str
) -> None:
    watch = f"watch-{service}"
    assert after[service]["network_mode"] == f"service:{watch}"
    assert after[service]["depends_on"] == {watch: {"condition": "service_healthy"}}
    assert after[watch]["networks"] == {name: {"aliases": [service]} for name in before[service]["networks"]}
    assert after[watch].get("ports") == before[service].get("ports")


def test_nothing_is_ever_pulled(after: dict[str, Any]) -> None:
    assert {item["pull_policy"] for item in after.values()} == {"never"}


def test_a_watch_has_no_more_rights_than_closing_and_watching_takes(after: dict[str, Any]) -> None:
    watch = after["watch-inference-chat"]
    assert (watch["cap_drop"], watch["cap_add"]) == (["ALL"], ["NET_ADMIN", "NET_RAW"])
    assert watch["read_only"] is True
    assert watch["security_opt"] == ["no-new-privileges:true"]
    assert "environment" not in watch
    assert [mount["read_only"] for mount in watch["volumes"]] == [True]


def test_the_rehearsal_has_a_project_and_files_of_its_own() -> None:
    files = load_expected("demo")
    rehearsal = build_rehearsal_files(files, "script")
    assert json.loads(rehearsal[COMPOSE])["name"] == f"{yaml.safe_load(files[COMPOSE])['name']}-prove"
    assert rehearsal["watch.py"] == "script"
    unchanged = files.keys() - {COMPOSE}
    assert {name: rehearsal[name] for name in unchanged} == {name: files[name] for name in unchanged}


def test_a_provider_on_this_machine_stays_known_by_name() -> None:
    files = load_expected("demo")
    project = yaml.safe_load(files[COMPOSE])
    project["services"]["api-gateway"]["extra_hosts"] = ["host.docker.internal:host-gateway"]
    services = build_services({**files, COMPOSE: json.dumps(project)})
    assert services["watch-api-gateway"]["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "extra_hosts" not in services["api-gateway"]


def test_the_images_are_those_that_run_with_this_gpu() -> None:
    files = load_expected("demo")
    assert list_images(files, "none") == (
        "ghcr.io/ggml-org/llama.cpp:server-b11347",
        "stackctl.invalid/api-gateway:f78d8933aca7",
    )
    assert "ghcr.io/ggml-org/llama.cpp:server-cuda-b11347" in list_images(files, "nvidia")
