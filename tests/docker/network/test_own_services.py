"""The stack's own services as containers: built from their folders, locked down, and near the gateway alone."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from docker.models.containers import Container

from tests.docker.commands import COMMAND_DEADLINE_S
from tests.docker.sites import MakeSite, Site, run_inside
from tests.ports import claim_ports

pytestmark = pytest.mark.docker
SERVICES = ("chat-api", "agents")
PYTHON = ("/opt/venv/bin/python", "-c")
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def site(make_site: MakeSite, gateway_image: str) -> Iterator[Site]:
    chat, agents, *_ = claim_ports()
    ports = {"CHAT_API_PORT": chat, "AGENTS_PORT": agents}
    keeping = {"CHAT_API_SESSIONS": "disk", "AGENTS_LOG_FILE": "agents.log"}
    site = make_site(GATEWAY_IMAGE=gateway_image, EMBEDDING_MODEL="none", **keeping, **ports)
    site.run_well("up", "--apps", ",".join(SERVICES))
    yield site
    site.remove()


@pytest.fixture
def container(site: Site, service: str) -> Container:
    return site.list_containers()[service]


def find_port(site: Site, service: str) -> int:
    return int(site.values[f"{service.upper().replace('-', '_')}_PORT"])


def reach(container: Container, host: str, port: object) -> str:
    """Nothing where a connection can be made; otherwise how that failed."""
    code, text = run_inside(container, *PYTHON, CONNECT, host, str(port))
    return "" if code == 0 else text.splitlines()[-1]


def test_they_answer_health_and_are_published_on_loopback_by_the_ingress(site: Site) -> None:
    code, report = site.load_health()
    assert (code, report["status"]) == (0, "ok"), report
    containers = site.list_containers()
    for service in SERVICES:
        url = f"http://127.0.0.1:{find_port(site, service)}"
        assert httpx.get(f"{url}/health/ready", timeout=COMMAND_DEADLINE_S).status_code == 200
        assert containers[service].attrs["NetworkSettings"]["Ports"] in ({}, {f"{find_port(site, service)}/tcp": None})
    published = containers["ingress"].attrs["NetworkSettings"]["Ports"].values()
    assert {item["HostIp"] for bindings in published for item in bindings or ()} == {"127.0.0.1"}


@each_service
def test_each_is_built_here_from_its_folder_and_never_pulled(site: Site, container: Container, service: str) -> None:
    assert container.attrs["Config"]["Image"].startswith(f"stackctl.invalid/{service}:")
    assert container.labels["org.opencontainers.image.title"] == service
    key = site.keys[f"{service.upper().replace('-', '_')}_GATEWAY_KEY"]
    assert key not in str(container.attrs["Config"]["Cmd"]) + container.logs().decode()


@each_service
def test_each_is_nobody_in_particular_on_a_file_system_it_cannot_write(container: Container, service: str) -> None:
    script = "for pid in /proc/[0-9]*; do [ $pid = /proc/$$ ] || cat $pid/status; done"
    _, text = run_inside(container, "sh", "-c", script)
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.startswith(("Uid", "Gid", "Cap", "NoNewPr"))]
    assert len([name for name, _ in lines if name == "Uid:"]) >= 2, text
    for name, value in lines:
        expected = "1" if name == "NoNewPrivs:" else "\t".join(["10001"] * 4) if name in ("Uid:", "Gid:") else "0" * 16
        assert value == expected, (name, value)
    for path in ("/file", "/opt/app/file", "/var/lib/file"):
        code, text = run_inside(container, "sh", "-c", f"echo x > {path}")
        assert code != 0
        assert "Read-only file system" in text, text
    host = container.attrs["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"]) == (True, ["ALL"], None)
    assert host["MemorySwap"] == host["Memory"] > 0
    assert host["PidsLimit"] > 0


def test_what_is_kept_is_kept_in_a_volume_for_its_owner_alone(site: Site) -> None:
    containers = site.list_containers()
    kept = {service: [item["Destination"] for item in containers[service].attrs["Mounts"]] for service in SERVICES}
    assert kept == {"chat-api": ["/var/lib/chat-api"], "agents": ["/var/lib/agents"]}
    assert run_inside(containers["chat-api"], "sh", "-c", "cd /var/lib/chat-api && echo x > tried && rm tried")[0] == 0
    assert run_inside(containers["agents"], "stat", "-c", "%a", "/var/lib/agents/agents.log") == (0, "600")


@each_service
def test_each_reaches_the_gateway_and_nothing_else(site: Site, container: Container, service: str) -> None:
    other = next(name for name in SERVICES if name != service)
    networks = site.list_containers()["ingress"].attrs["NetworkSettings"]["Networks"]
    outside = networks[f"{site.name}_edge"]["IPAddress"]
    near = networks[f"{site.name}_{service}"]["IPAddress"]
    port = find_port(site, other)
    assert reach(container, "api-gateway", site.port) == ""
    for name in ("inference-chat", other, "host.docker.internal", "models.example.com"):
        assert "gaierror" in reach(container, name, 80), name
    # The ingress relays to the other service on its outside alone, and of there no way is known here.
    assert "ConnectionRefused" in reach(container, near, port)
    assert "Network is unreachable" in reach(container, outside, port)
    assert "Network is unreachable" in reach(container, "192.0.2.1", 80)
