"""A stack for real clients: ``make test-clients``."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.clients.environment import find_programs
from tests.clients.pins import find_version
from tests.clients.table import record
from tests.integration.gateway.calling_site import create_calling_site
from tests.integration.stack_site import Site
from tests.smollm2 import NAME, find_smollm2

# Set to "record" by `make test-clients`: what worked is then written into the catalogue and the guide.
WANTED, RECORD = "STACK_TEST_CLIENTS", "record"
# Agents' first prompts take minutes on a busy machine.
TIMEOUT_S = 1800
# Claude Code asks for models of its maker's names. At temperature 0 there is one call.
STACK = """version: 1
aliases:
  claude-*: local-chat
routes:
  local-chat: {defaults: {temperature: 0}}
"""
# A small model may go on without end.
REAL_STACK = STACK.replace("temperature: 0", "temperature: 0, max_tokens: 512")

Programs = Callable[[str], Path]

_worked: dict[str, bool] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each of these tests its time limit."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tools worked in all of their tests."""
    report = yield
    marker = item.get_closest_marker("client")
    if marker and (report.when == "call" or not report.passed):
        (tool,) = marker.args
        _worked[tool] = _worked.get(tool, True) and report.passed
    return report


def pytest_sessionfinish() -> None:
    """Write down what worked, where that was asked for."""
    versions = {tool: find_version(tool) for tool, worked in _worked.items() if worked}
    if versions and os.environ.get(WANTED) == RECORD:
        record(versions, datetime.now(UTC).date().isoformat())


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Finds the folder of an environment's programs; skips where nobody asked for these tests, or it is not there."""
    if WANTED not in os.environ:
        pytest.skip("the clients are 5 GB and take minutes: 'make test-clients' installs them and runs this")

    def find(name: str) -> Path:
        found = find_programs(name)
        if found is None:
            pytest.skip(f"not installed here: run 'python -m tests.clients.environment {name}', which needs npm and uv")
        return found

    return find


@pytest.fixture(scope="session")
def real_site(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running stack that serves a real small model."""
    folder = find_smollm2()
    settings = {"MODELS_DIR": str(folder), "CHAT_MODEL": NAME, "CONTEXT_LENGTH": "8192", "INFERENCE_SLOTS": "1"}
    site = Site.create(tmp_path_factory.mktemp("real-site"), EMBEDDING_MODEL="none", **settings)
    (site.path / "stack.yml").write_text(REAL_STACK, encoding="utf-8")
    try:
        site.run("up")
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="session")
def site(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The running stack."""
    site = create_calling_site(tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("site"))
    (site.path / "stack.yml").write_text(STACK, encoding="utf-8")
    try:
        site.run("up")
        yield site
    finally:
        site.stop()
