"""The agents at a real stack, and at a real gateway whose model answers what a test says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.agents.service import Agents, Upstream, run_agents, run_upstream
from tests.integration.stack_site import Site


@pytest.fixture(scope="session")
def agents(stack: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    """At the session's stack, whose engine has the demo model."""
    with run_agents(tmp_path_factory.mktemp("agents"), stack.url, stack.keys["GATEWAY_KEY"]) as running:
        yield running


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with run_upstream() as running:
        yield running


@pytest.fixture(scope="session")
def scripted(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    """At the gateway before that upstream, open to callers without a key."""
    gateway = upstream.gateway
    settings = {"OPEN": "on", "GATEWAY_KEY": gateway.key, "ATTEMPTS": "3", "PARALLEL": "2", "LANGUAGE": "en"}
    with run_agents(tmp_path_factory.mktemp("scripted"), gateway.url, gateway.key, **settings) as running:
        yield running
