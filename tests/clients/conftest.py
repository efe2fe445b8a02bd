"""A stack for clients that are written for Node: ``make test-clients``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.environment import find_programs
from tests.integration.gateway.calling_site import create_calling_site
from tests.integration.stack_site import Site

WANTED = "STACK_TEST_CLIENTS"
# Claude Code asks for models of its maker's names. At temperature 0 there is one call.
STACK = """version: 1
aliases:
  claude-*: local-chat
routes:
  local-chat: {defaults: {temperature: 0}}
"""


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of the clients' programs; skips where nobody asked for these tests, or they are not installed."""
    if WANTED not in os.environ:
        pytest.skip("the clients are 600 MB and take minutes: 'make test-clients' installs them and runs this")
    found = find_programs()
    if found is None:
        pytest.skip("the clients are not installed here: run 'python -m tests.clients.environment', which needs npm")
    return found


@pytest.fixture(scope="session")
def site(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The running stack."""
    site = create_calling_site(tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("site"))
    (site.path / "stack.yml").write_text(STACK, encoding="utf-8")
    try:
        site.run("up")
        yield site
    finally:
        site.stop()
