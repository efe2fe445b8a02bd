"""What a Docker test does where something that it needs is not there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def give_up(reason: str) -> NoReturn:
    """Skip, or fail where Docker tests are mandatory (REQUIRE_DOCKER=1)."""
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
