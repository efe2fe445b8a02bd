"""What tests of keys share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway.state.database import prepare

from tests.unit.gateway.key_state import State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(prepare(tmp_path))
    yield state
    state.database.close_here()
