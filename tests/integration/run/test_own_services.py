"""The stack's own services on top of the gateway as processes: chosen by up, asked, watched, and gone again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.guide_examples import read_examples
from tests.integration.app_site import find_result
from tests.integration.stack_site import REPOSITORY, Site
from tests.ports import claim_ports
from tests.processes import is_alive, list_listening
from tests.waiting import wait_for

LOOPBACK = "0100007F"
SERVICES = {"chat-api": "CHAT_API", "agents": "AGENTS"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    chat, agents, *_ = claim_ports()
    folder = tmp_path_factory.mktemp("own 'services' site")
    ports = {"CHAT_API_PORT": str(chat), "AGENTS_PORT": str(agents)}
    settings = {"CHAT_API_SESSIONS": "disk", "CHAT_API_DEFAULT_TEMPERATURE": "0"}
    site = Site.create(folder, EMBEDDING_MODEL="none", **ports, **settings)
    try:
        said = site.run("up", "--apps", "chat-api, agents").stdout
        assert all(find_url(site, service) in said for service in SERVICES)
        yield site
    finally:
        site.stop()


def find_url(site: Site, service: str) -> str:
    return f"http://127.0.0.1:{site.settings[f'{SERVICES[service]}_PORT']}"


def test_they_answer_on_loopback_alone_and_every_command_knows_them(site: Site) -> None:
    assert site.settings["STACK_APPS"] == "chat-api,agents"
    pids = site.find_pids()
    for service in SERVICES:
        assert find_result(site, "app", service) == ("ok", "answers /health/ready")
        assert {address for address, _ in list_listening([pids[service]])} == {LOOPBACK}
        # The last comes out of a package that the service's lock has.
        for path in ("/metrics", "/docs", "/docs/swagger-ui-bundle.js"):
            assert httpx.get(find_url(site, service) + path, timeout=60).status_code == 200, path
        assert f"launch: {service} starts" in site.run("logs", service).stdout
    assert site.run("up").stdout.startswith("The stack is up; nothing had to change.")


def test_the_gateway_knows_each_by_a_key_of_its_own(site: Site) -> None:
    for service, prefix in SERVICES.items():
        with site.client(f"{prefix}_GATEWAY_KEY") as client:
            body = {"model": "local-chat", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 2}
            assert client.post("/v1/chat/completions", json=body).status_code == 200
            assert client.get("/metrics").status_code == 403, service
    wait_for(lambda: set(SERVICES) <= {row["name"] for row in site.run_json("usage")["rows"]}, "usage to be written")


def test_their_keys_stand_in_env_and_the_secrets_file_alone(site: Site) -> None:
    for prefix in SERVICES.values():
        key = site.settings[f"{prefix}_GATEWAY_KEY"].encode()
        holders = {path.name for path in site.path.rglob("*") if path.is_file() and key in path.read_bytes()}
        assert holders == {".env", "secrets.json"}
        for pid in site.list_processes():
            assert key not in Path(f"/proc/{pid}/cmdline").read_bytes()


GUIDE_PORTS = {5601: "CHAT_API_PORT", 5602: "AGENTS_PORT"}
# For each example that a guide has, in their order, what its reader is to see whatever the demo model writes, which may
# ask a person nothing; None for one that is not run here.
SEEN: dict[str, tuple[str | None, ...]] = {
    "chat-api": ("event: end", "pong", "The stack is up", '"session_token"'),
    "agents": ("looking for questions", '"is_constrained":true', "", None, '"functions"'),
}


@pytest.mark.parametrize("guide", SEEN)
def test_the_examples_of_the_guide_do_what_it_says(site: Site, guide: str) -> None:
    base = {
        setting: find_url(site, service)
        for service, setting in (("chat-api", "CHAT_API_URL"), ("agents", "AGENTS_URL"))
    }
    begun = httpx.post(f"{base['CHAT_API_URL']}/api/v1/sessions", json={}, timeout=60).json()
    ports = {port: int(site.settings[name]) for port, name in GUIDE_PORTS.items()}
    variables = {"GATEWAY_KEY": site.keys["GATEWAY_KEY"], "GATEWAY_URL": site.url, "TOKEN": begun["session_token"],
                 "PYTHONPATH": str(REPOSITORY / "services" / "agents"), **base}  # fmt: skip
    shown = ""
    for example, seen in zip(read_examples(guide), SEEN[guide], strict=True):
        if example.language == "json":  # of the answer before, the fields
            assert {name: set(part) for name, part in json.loads(example.text).items()} == {
                name: set(part) for name, part in json.loads(shown).items()
            }
        elif seen is not None:
            shown = example.run(site.path, ports, variables, stdin="Accounting\n" * 20)
            assert seen in shown, f"{example.text}\n{shown}"


def test_they_are_ready_only_while_the_gateway_answers(site: Site) -> None:
    def find_phases() -> set[str]:
        return {service["phase"] for service in site.run_json("status")["services"]}

    gateway = site.find_pids()["api-gateway"]
    wait_for(lambda: find_phases() == {"running"}, "none to count as starting, which may be slow to answer")
    os.kill(gateway, signal.SIGSTOP)
    try:
        for service in SERVICES:
            status, detail = find_result(site, "app", service)
            assert status == "failed"
            assert "/health/ready" in detail
    finally:
        os.kill(gateway, signal.SIGCONT)
    wait_for(lambda: {find_result(site, "app", item)[0] for item in SERVICES} == {"ok"}, "the gateway to answer again")


def test_a_changed_setting_restarts_its_service_alone_and_none_ends_both(site: Site) -> None:
    before = site.find_pids()
    site.configure(AGENTS_LANGUAGE="en", CHAT_API_DEFAULT_SYSTEM_MESSAGE="'Say \"no\" for $5; #1'")
    site.run("up")
    after = site.find_pids()
    assert {name for name, pid in after.items() if before[name] != pid} == set(SERVICES)
    message = b'CHAT_API_DEFAULT_SYSTEM_MESSAGE=Say "no" for $5; #1'
    assert message in Path(f"/proc/{after['chat-api']}/environ").read_bytes().split(b"\0")
    site.run("up", "--apps", "none")
    assert set(site.find_pids()) == {"api-gateway", "inference-chat"}
    assert not any(is_alive(after[service]) for service in SERVICES)
    assert site.settings["STACK_APPS"] == ""
