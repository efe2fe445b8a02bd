"""A hub, a site that pulls from it, and a model to pull."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hub_server import Hub, run_hub
from tests.integration.models.pulling import PullSite, write_random_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model of 4 MiB."""
    return write_random_model(tmp_path_factory.mktemp("models") / "tiny.gguf", 4)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """One of the test's own."""
    with run_hub() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, hub: Hub) -> PullSite:
    """A site with an empty models folder."""
    (tmp_path / "site" / "models").mkdir(parents=True)
    (tmp_path / "site" / "stack.yml").write_text("version: 1\n")
    return PullSite(tmp_path / "site", hub)
