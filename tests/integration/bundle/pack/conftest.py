"""A site in the process runtime with the demo model."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.bundle.pack.pack_site import PackSite
from tests.integration.stack_site import STACKCTL, clean_environment


@pytest.fixture
def site(tmp_path: Path) -> PackSite:
    folder = tmp_path / "site"
    subprocess.run([*STACKCTL, "--site", str(folder), "init"], check=True, capture_output=True, env=clean_environment())
    result = PackSite(folder, tmp_path / "out")
    result.set(STACK_RUNTIME="process", EMBEDDING_MODEL="none")
    return result
