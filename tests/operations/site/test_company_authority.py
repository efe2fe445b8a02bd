"""The company's certificate authority on its way to the gateway of either runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stackctl.core.stack.names import COMPOSE_FILE
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import World, raised_by, write_env

PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


def make_world(value: str, text: str | None, **settings: object) -> World:
    world = World(write_env(GATEWAY_CA_BUNDLE=value, **settings))
    if text is not None:
        world.files[world.site / value] = text
    return world


@pytest.mark.parametrize("value", ["company.pem", "/etc/ssl/company.pem"])
def test_both_runtimes_give_it_to_the_gateway_alone(value: str) -> None:
    world = make_world(value, PEM, SELINUX_RELABEL="true")
    path = str(world.site / value)
    rendered = render_site(world.effects, load_site(world.effects))
    *engines, process = rendered.process_services
    assert process.environment["GATEWAY_CA_BUNDLE"] == path
    containers = yaml.safe_load(rendered.files[COMPOSE_FILE])["services"]
    gateway = containers.pop("api-gateway")
    inside = gateway["environment"]["GATEWAY_CA_BUNDLE"]
    (mount,) = [item for item in gateway["volumes"] if item["target"] == inside]
    assert (mount["source"], mount["read_only"], mount["bind"]["selinux"]) == (path, True, "z")
    assert path not in str(containers)
    assert all("GATEWAY_CA_BUNDLE" not in engine.environment for engine in engines)


def test_the_chat_api_is_given_it_for_a_database_elsewhere() -> None:
    chat = {"STACK_APPS": "chat-api", "CHAT_API_GATEWAY_KEY": "planted-chat-api-key", "CHAT_API_SESSIONS": "disk"}
    world = make_world("company.pem", PEM, **chat, CHAT_API_DATABASE_URL="postgresql://u:planted@db.example/d")
    rendered = render_site(world.effects, load_site(world.effects))
    path = str(world.site / "company.pem")
    process = next(item for item in rendered.process_services if item.name == "chat-api")
    assert process.environment["CHAT_API_CA_BUNDLE"] == path
    container = yaml.safe_load(rendered.files[COMPOSE_FILE])["services"]["chat-api"]
    (mount,) = [
        item for item in container["volumes"] if item["target"] == container["environment"]["CHAT_API_CA_BUNDLE"]
    ]
    assert (mount["source"], mount["read_only"]) == (path, True)


def test_without_one_nothing_is_mounted() -> None:
    rendered = render_site(World().effects, load_site(World().effects))
    gateway = yaml.safe_load(rendered.files[COMPOSE_FILE])["services"]["api-gateway"]
    assert [Path(item["target"]).name for item in gateway["volumes"] if item["type"] == "bind"] == ["config.yaml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "which is not there"), ("\x30\x82", "holds no certificate in PEM form")],
)
def test_a_file_that_is_none_is_refused_at_its_line(text: str | None, words: str) -> None:
    world = make_world("company.pem", text)
    (finding,) = raised_by(lambda: load_site(world.effects)).findings
    assert words in finding.message
    assert (finding.subject, finding.file, finding.line) == ("GATEWAY_CA_BUNDLE", ".env", 4)
