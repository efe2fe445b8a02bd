"""Fixtures of the tests that connect tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.connect.person import Person
from tests.integration.stack_site import Site


@pytest.fixture
def person(stack: Site, tmp_path: Path) -> Iterator[Person]:
    """Somebody new at the running stack, whose `stack.yml` is put back."""
    stack_file = stack.path / "stack.yml"
    before = stack_file.read_bytes() if stack_file.exists() else None
    yield Person(stack, tmp_path)
    if before is None:
        stack_file.unlink(missing_ok=True)
    else:
        stack_file.write_bytes(before)
