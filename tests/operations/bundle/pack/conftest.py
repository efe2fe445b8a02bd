"""A fake world to pack in."""

from __future__ import annotations

import pytest

from tests.fakes import World
from tests.operations.bundle.pack.packer import Packer


@pytest.fixture
def packer(world: World) -> Packer:
    return Packer(world)
