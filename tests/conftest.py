"""Options and fixtures of every test."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NoReturn

import httpx
import hypothesis
import pytest
from httpx._transports import default
from httpx._types import CertTypes
from hypothesis import HealthCheck
from xdist.remote import Producer

from tests.fakes import World
from tests.lanes import DOCKER, LANES, Lanes, find_lane

# No time limit for one example: a busy machine is no failure.
hypothesis.settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.settings.load_profile("any-machine")
# For the gate, which every change waits for; `make test` looks longer for inputs that break the code.
hypothesis.settings.register_profile("gate", hypothesis.settings.get_profile("any-machine"), max_examples=20)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ.pop("XDG_STATE_HOME"), ignore_errors=True)


def pytest_configure() -> None:
    """Undo an inherited "ignore", as `nohup` and a shell's background leave it: what tests start must hear signals.

    A handler, whatever it does, is the default again in a started program.
    """
    # The list of known sites is the user's, and short: tests keep one of their own in each process.
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="stack-test-state-")
    os.environ.pop("COLUMNS", None)  # workers of pytest-xdist are given one, and what tests start would fit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)
    _share_certificates()


def _share_certificates() -> None:
    """Read the machine's certificates once: a client of httpx, so each ``httpx.get``, reads them for 25 ms or more.

    Clients that name certificates, or none, are as they were.
    """
    make = httpx.create_ssl_context

    @cache
    def read(*environment: str | None) -> ssl.SSLContext:
        return make()

    def create(
        verify: ssl.SSLContext | str | bool = True, cert: CertTypes | None = None, trust_env: bool = True
    ) -> ssl.SSLContext:
        if verify is not True or cert or not trust_env:
            return make(verify, cert, trust_env)
        return read(*map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))

    default.create_ssl_context = create  # type: ignore[attr-defined]


TESTS = Path(__file__).parent
# Compiling an engine, and making images and bundles for a whole session, take longer than any test.
BUILD_TIMEOUT_S, DOCKER_TIMEOUT_S = 3600, 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test its time limit, and put the long lanes first."""
    for item in items:
        if item.get_closest_marker("engine_build"):
            item.add_marker(pytest.mark.timeout(BUILD_TIMEOUT_S))
        elif find_lane(item.nodeid) == DOCKER:
            item.add_marker(pytest.mark.timeout(DOCKER_TIMEOUT_S))
    items.sort(key=lambda item: LANES.index(lane) if (lane := find_lane(item.nodeid)) in LANES else len(LANES))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Share tests out by lane."""
    return Lanes(config, log)


PURE = tuple(TESTS / name for name in ("unit", "operations"))


@pytest.fixture(autouse=True)
def _pure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of ``tests/unit`` and ``tests/operations`` start no process and no server: those are slow and can hang.

    What needs one belongs into ``tests/integration``, or ``tests/docker`` where it needs an engine.
    """
    if any(folder in request.path.parents for folder in PURE):
        monkeypatch.setattr(subprocess.Popen, "__init__", _refuse)
        monkeypatch.setattr(socket.socket, "listen", _refuse)


def _refuse(*_: object, **__: object) -> NoReturn:
    pytest.fail("a unit test starts a process or a server: move it to tests/integration", pytrace=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the expected files of tests/golden again")


@pytest.fixture
def world() -> World:
    """A site with keys and nothing else, on a host with Docker and without a GPU."""
    return World()


@pytest.fixture(scope="session")
def docker_compose() -> str:
    """A Docker client with Compose 2.20 or newer; no engine is needed to check a file."""
    docker = shutil.which("docker")
    seen = ""
    if docker:
        argv = [docker, "compose", "version", "--short"]
        seen = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    version = re.match(r"v?(\d+)\.(\d+)", seen)
    if docker and version and (int(version[1]), int(version[2])) >= (2, 20):
        return docker
    reason = f"docker compose 2.20 or newer is needed; seen: {seen or 'none'}"
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
