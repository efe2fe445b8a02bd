"""A site that bundles are loaded into, and the disk that they come on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loading import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty site on a machine with an engine."""
    return Place(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where bundles arrive."""
    return tmp_path / "disk"
