"""Real stacks of the process runtime: one that runs for the whole session, and others to break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from stackctl.adapters.process.namespaces import check_namespaces
from stackctl.errors import RuntimeFailure
from tests.integration.stack_site import Site


class MakeSite(Protocol):
    """Makes a site that is stopped when its test ends."""

    def __call__(self, name: str = ..., **settings: str) -> Site: ...


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running stack, in a folder with a space and an apostrophe in its path; tests leave it as they found it."""
    site = Site.create(tmp_path_factory.mktemp("it's a site"))
    try:
        site.run("up")
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def worn_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for a module's tests to break and to change; each starts with ``up``, which completes what is left."""
    site = Site.create(tmp_path_factory.mktemp("a worn site"))
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def make_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSite]:
    """Sites of one test; with a chat model alone, if they say no other, as each model is an engine to start."""
    made: list[Site] = []

    def make(name: str = "a site", **settings: str) -> Site:
        made.append(Site.create(tmp_path_factory.mktemp(name), **{"EMBEDDING_MODEL": "none", **settings}))
        return made[-1]

    yield make
    for site in made:
        site.stop()


@pytest.fixture
def namespaces() -> None:
    """Skips where this machine lets us make no network of a test's own."""
    try:
        check_namespaces()
    except RuntimeFailure as error:
        pytest.skip(str(error))
