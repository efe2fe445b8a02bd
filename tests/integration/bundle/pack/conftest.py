"""A site in the process runtime with the demo model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.bundle.pack.pack_site import PackSite
from tests.site_folders import make_site_folder


@pytest.fixture
def site(tmp_path: Path) -> PackSite:
    folder = tmp_path / "site"
    make_site_folder(folder)
    result = PackSite(folder, tmp_path / "out")
    result.set(STACK_RUNTIME="process", EMBEDDING_MODEL="none")
    return result
