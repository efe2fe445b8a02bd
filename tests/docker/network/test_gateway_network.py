"""What the gateway's container reaches, tried from inside it: nothing without a provider, and with one no more than
that takes. Every refusal has its control: an ordinary container reaches the same place.
"""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from docker import DockerClient
from docker.models.containers import Container

from tests.docker.outside import GREETING, PORT, Outside
from tests.docker.sites import IMAGES, Site, run_inside
from tests.waiting import wait_for

pytestmark = pytest.mark.docker
NAME = "models.example.com"
# Nobody's (RFC 3849); only whether there is a route is asked.
IPV6_ADDRESS = "2001:db8::7"

# Tries the places of its first argument (JSON: kind, address, port) and prints for each what came of it. A datagram
# carries the second argument.
TRY = """
import json, socket, sys

def attempt(kind, address, port):
    try:
        if kind == "name":
            return socket.gethostbyname(address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as link:
            link.settimeout(3)
            link.connect((address, port))
            link.send(sys.argv[2].encode())
        return "sent"
    except OSError as error:
        return type(error).__name__ + ": " + str(error)

print(json.dumps([attempt(*place) for place in json.loads(sys.argv[1])]))
"""


class Listener:
    """A service of this machine that listens everywhere, by TCP and UDP on the same port, and notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._tcp = socket.create_server(("0.0.0.0", 0))
        self.port = int(self._tcp.getsockname()[1])
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(("0.0.0.0", self.port))
        for job in (self._accept, self._receive):
            threading.Thread(target=job, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._tcp.accept()
            except OSError:
                return
            with link:
                link.settimeout(5)
                self.heard.append(f"tcp {link.recv(100).decode()}")

    def _receive(self) -> None:
        while True:
            try:
                self.heard.append(f"udp {self._udp.recv(100).decode()}")
            except OSError:
                return

    def close(self) -> None:
        """Listen no more."""
        self._tcp.shutdown(socket.SHUT_RD)
        for link in (self._tcp, self._udp):
            link.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@contextmanager
def open_ordinary(client: DockerClient, outside: Outside, command: str = "sleep 600") -> Iterator[Container]:
    """A container as Docker starts one by default, but for its name server, which is the machine outside."""
    container = client.containers.run(IMAGES["BASE_IMAGE"], command, detach=True, init=True, dns=[outside.address])
    try:
        yield container
    finally:
        container.remove(force=True)


@pytest.fixture(scope="module")
def ordinary(client: DockerClient, outside: Outside) -> Iterator[Container]:
    with open_ordinary(client, outside) as container:
        yield container


@pytest.fixture(scope="module")
def neighbour(client: DockerClient, outside: Outside) -> Iterator[str]:
    """Address of another container, outside the stack, that serves HTTP on ``PORT``."""
    with open_ordinary(client, outside, f"python3 -m http.server {PORT}") as container:
        container.reload()
        yield container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]


def find_bridges(client: DockerClient) -> list[str]:
    """The addresses that this machine has on Docker's bridges, or would have."""
    found = []
    for network in client.networks.list(filters={"driver": "bridge"}):
        network.reload()
        pools = [pool for pool in network.attrs["IPAM"]["Config"] or [] if ":" not in pool["Subnet"]]
        found += [pool.get("Gateway") or pool["Subnet"].rsplit(".", 1)[0] + ".1" for pool in pools]
    return found


def try_places(container: Container, places: list[tuple[str, str, int]], word: str = "hello") -> list[str]:
    """What came of each place."""
    code, text = run_inside(container, "python3", "-c", TRY, json.dumps(places), word)
    assert code == 0, text
    results: list[str] = json.loads(text)
    return results


def find_gateway(site: Site) -> Container:
    return site.list_containers()["api-gateway"]


def test_an_ordinary_container_reaches_every_place(
    client: DockerClient, ordinary: Container, outside: Outside, listener: Listener, neighbour: str
) -> None:
    """The control of every other test of this file."""
    word = uuid.uuid4().hex
    (bridge,) = client.networks.get("bridge").attrs["IPAM"]["Config"]
    host = bridge["Gateway"]
    wait_for(lambda: try_places(ordinary, [("tcp", neighbour, PORT)]) == ["sent"], "the neighbour serves")
    places = [("tcp", outside.address, PORT), ("udp", outside.address, PORT), ("tcp", host, listener.port)]
    assert try_places(ordinary, [("name", NAME, 0)]) == [outside.address]
    assert try_places(ordinary, [*places, ("udp", host, listener.port)], word) == ["sent"] * 4
    wait_for(lambda: {f"tcp {word}", f"udp {word}"} <= set(listener.heard), "both are heard")
    wait_for(lambda: word in outside.list_datagrams(), "the datagram arrives outside")


def test_without_a_provider_the_gateway_looks_up_no_name(running: Site) -> None:
    gateway = find_gateway(running)
    (said,) = try_places(gateway, [("name", NAME, 0)])
    assert said.startswith("gaierror")
    (engine,) = try_places(gateway, [("name", "inference-chat", 0)])
    assert engine[0].isdecimal(), engine


def test_without_a_provider_the_gateway_reaches_nothing(
    client: DockerClient, running: Site, outside: Outside, listener: Listener, neighbour: str
) -> None:
    word = uuid.uuid4().hex
    hosts = [*find_bridges(client), outside.address.removesuffix(".2") + ".1"]
    places = [
        *((kind, outside.address, PORT) for kind in ("tcp", "udp")),
        *((kind, host, listener.port) for host in hosts for kind in ("tcp", "udp")),
        ("tcp", neighbour, PORT),
        *((kind, IPV6_ADDRESS, PORT) for kind in ("tcp", "udp")),
    ]
    said = dict(zip(places, try_places(find_gateway(running), places, word), strict=True))
    (network,) = client.networks.list(names=[f"{running.name}_inference"])
    network.reload()
    own = network.attrs["IPAM"]["Config"][0]["Subnet"].rsplit(".", 1)[0]
    # Within its own network a datagram is sent to whoever has the address; everything else has no route at all.
    assert [place for place, text in said.items() if text == "sent" and not place[1].startswith(own)] == []
    assert {text for place, text in said.items() if not place[1].startswith(own)} <= {
        "OSError: [Errno 101] Network is unreachable",
        "OSError: [Errno 99] Cannot assign requested address",
    }
    # A sentinel that is sent afterwards arrives, so whatever was sent before it would have.
    after = uuid.uuid4().hex
    for address, port in ((outside.address, PORT), ("127.0.0.1", listener.port)):
        with socket.socket(type=socket.SOCK_DGRAM) as link:
            link.sendto(after.encode(), (address, port))
    wait_for(lambda: f"udp {after}" in listener.heard and after in outside.list_datagrams(), "the sentinels are there")
    assert word not in outside.list_datagrams()
    assert not [item for item in listener.heard if word in item]


def test_no_container_has_an_address_of_ipv6(running: Site) -> None:
    for name, container in running.list_containers().items():
        code, text = run_inside(container, "cat", "/proc/net/if_inet6")
        assert code == 0
        assert {line.split()[-1] for line in text.splitlines()} <= {"lo"}, name


def test_the_ingress_passes_on_and_has_no_names_and_no_answers(running: Site, outside: Outside) -> None:
    ingress = running.list_containers()["ingress"]
    name, far = try_places(ingress, [("name", NAME, 0), ("tcp", outside.address, PORT)])
    assert name.startswith("gaierror")
    assert far != "sent"


def set_provider(site: Site, address: str) -> None:
    """A provider under `far-chat`, with the demo model beside it."""
    site.set(OUTSIDE_KEY="sk-outside")
    model = "{kind: openai-compatible, api_base: %s, api_key: OUTSIDE_KEY, models: {far-chat: {model: m}}}"
    (site.folder / "stack.yml").write_text(f"version: 1\nproviders:\n  far: {model % address}\n", encoding="utf-8")


def test_a_provider_s_address_gives_no_names(stopped: Site, outside: Outside) -> None:
    set_provider(stopped, f"{outside.url}v1")
    stopped.run_well("up")
    assert stopped.run_well("chat", "--model", "far-chat", "ping").stdout.strip() == GREETING
    name, far = try_places(find_gateway(stopped), [("name", NAME, 0), ("tcp", outside.address, PORT)])
    assert name.startswith("gaierror")
    assert far == "sent"
    # The engine beside it still has no way out.
    engine = stopped.list_containers()["inference-chat"]
    assert run_inside(engine, "curl", "--silent", "--max-time", "5", outside.url)[0] == 7


def test_a_provider_on_this_machine_gives_neither_names_nor_other_machines(
    stopped: Site, outside: Outside, listener: Listener
) -> None:
    set_provider(stopped, f"http://127.0.0.1:{listener.port}/v1")
    stopped.run_well("up")
    places: list[Any] = [
        ("tcp", "host.docker.internal", listener.port),
        ("name", NAME, 0),
        ("tcp", outside.address, PORT),
    ]
    host, name, far = try_places(find_gateway(stopped), places)
    assert host == "sent"
    assert name.startswith("gaierror")
    assert far != "sent"  # nothing comes back
