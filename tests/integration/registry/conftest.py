"""A registry with faults, its client, and the waits that the client meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stackctl.adapters.registry.registry import Registry
from tests.fake_registry import FakeRegistry, open_fake_registry
from tests.integration.registry.served import LAYER, Serve


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a registry with these faults."""
    with ExitStack() as stack:
        yield lambda **faults: stack.enter_context(open_fake_registry(FakeRegistry(LAYER, **faults)))


@pytest.fixture
def pauses() -> list[float]:
    """How long the client meant to wait."""
    return []


@pytest.fixture
def registry(tmp_path: Path, pauses: list[float]) -> Iterator[Registry]:
    """The client, with the logins of a Docker configuration in ``tmp_path``."""
    found = Registry({"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}, pauses.append)
    yield found
    found.close()
