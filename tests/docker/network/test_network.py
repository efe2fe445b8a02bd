"""Inference has no way out, and the gateway has none without a provider: tried from inside the running containers.

Each refusal has its control: an ordinary container reaches the same address, so the address itself is alive.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from tests.docker.outside import FETCH, GREETING, PORT, Outside
from tests.docker.sites import IMAGES, Site, run_inside
from tests.waiting import wait_for

pytestmark = pytest.mark.docker
PYTHON = ("python3", "-c")
LOOK_UP = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
# No packet of a test must leave this machine, so every name server of a test's container is one of our own.
NAME = "models.example.com"


@contextmanager
def open_container(network: str = "bridge", dns: str = "127.0.0.1", command: str = "sleep 600") -> Iterator[Container]:
    """A throw-away container with Python and curl."""
    made = DockerContainer(IMAGES["BASE_IMAGE"]).with_command(command).with_kwargs(network=network, dns=[dns])
    with made as started:
        yield started.get_wrapped_container()


@pytest.fixture(scope="module")
def ordinary(client: object, outside: Outside) -> Iterator[Container]:
    """A container as Docker starts one by default."""
    with open_container(dns=outside.address) as container:
        yield container


@pytest.fixture(scope="module")
def guest(running: Site, outside: Outside) -> Iterator[Container]:
    """A container on the stack's inference network."""
    with open_container(f"{running.name}_inference", outside.address) as container:
        yield container


def test_an_ordinary_container_has_a_way_out(ordinary: Container, outside: Outside) -> None:
    """The control of every other test of this file."""
    assert run_inside(ordinary, *PYTHON, FETCH, outside.url) == (0, GREETING)
    assert run_inside(ordinary, *PYTHON, LOOK_UP, NAME) == (0, outside.address)


def test_the_inference_network_has_no_way_out(guest: Container, outside: Outside) -> None:
    code, text = run_inside(guest, *PYTHON, FETCH, outside.url)
    assert code == 1
    assert "Network is unreachable" in text
    code, text = run_inside(guest, *PYTHON, LOOK_UP, NAME)
    assert code == 1
    assert "gaierror" in text


def test_the_inference_network_reaches_the_engines_and_they_want_their_key(guest: Container) -> None:
    code, text = run_inside(guest, "curl", "--silent", "--fail", "http://inference-chat:8001/health")
    assert (code, text) == (0, '{"status":"ok"}')
    ask = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}")
    assert run_inside(guest, *ask, "http://inference-chat:8001/props") == (0, "401")


def test_an_engine_has_no_way_out(running: Site, outside: Outside) -> None:
    engine = running.list_containers()["inference-chat"]
    assert run_inside(engine, "curl", "--silent", "--max-time", "5", outside.url)[0] == 7  # could not connect
    # This lookup ends in the container: Docker's name server passes nothing on from an internal network.
    assert run_inside(engine, "getent", "hosts", NAME)[0] == 2
    assert run_inside(engine, "getent", "hosts", "api-gateway")[0] == 0


def test_nothing_on_the_inference_network_reaches_another_network(guest: Container, ordinary: Container) -> None:
    with open_container(command=f"python3 -m http.server {PORT}") as neighbour:
        neighbour.reload()
        address = neighbour.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        url = f"http://{address}:{PORT}/"
        wait_for(lambda: run_inside(ordinary, *PYTHON, FETCH, url)[0] == 0, "the neighbour answers")
        code, text = run_inside(guest, *PYTHON, FETCH, url)
    assert code == 1
    assert "Network is unreachable" in text


def test_nothing_on_the_inference_network_reaches_this_machine(running: Site, guest: Container) -> None:
    """A bridge usually has an address of the machine's own, and behind it every service that listens everywhere."""
    (network,) = running.client.networks.list(names=[f"{running.name}_inference"])
    network.reload()
    config = network.attrs["IPAM"]["Config"][0]
    bridge = config.get("Gateway") or config["Subnet"].rsplit(".", 1)[0] + ".1"
    with socket.create_server(("0.0.0.0", 0)) as server:
        threading.Thread(target=lambda: server.accept(), daemon=True).start()
        url = f"http://{bridge}:{server.getsockname()[1]}/"
        code, _ = run_inside(guest, "curl", "--silent", "--max-time", "5", url)
        with socket.create_connection(("127.0.0.1", server.getsockname()[1])):
            pass
    assert code in (7, 28)  # could not connect, or timed out


def test_the_gateway_reaches_a_provider_that_is_configured(stopped: Site, outside: Outside) -> None:
    stopped.set(OUTSIDE_KEY="sk-outside")
    model = "{kind: openai-compatible, api_base: %s, api_key: OUTSIDE_KEY, models: {far-chat: {model: m}}}"
    providers = f"providers:\n  far: {model % (outside.url + 'v1')}\n"
    (stopped.folder / "stack.yml").write_text(f"version: 1\n{providers}", encoding="utf-8")
    stopped.run_well("up")
    assert stopped.run_well("chat", "--model", "far-chat", "ping").stdout.strip() == GREETING
    # The engine beside it still has no way out.
    engine = stopped.list_containers()["inference-chat"]
    assert run_inside(engine, "curl", "--silent", "--max-time", "5", outside.url)[0] == 7
