"""Programs of Debian's that tests run beside the stack's own: where one is not there, its tests are skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Where Debian puts what is not on PATH.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def require_program(name: str, package: str) -> str:
    """Path of the program; skips the test without it, or fails it where REQUIRE_APPS=1 says that it must be there."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, FOLDERS)))
    if found:
        return found
    reason = f"{name} is needed: apt-get install {package}"
    if os.environ.get("REQUIRE_APPS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
