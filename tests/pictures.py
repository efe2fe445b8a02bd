"""Pictures of the documentation, which tests make again where that is asked for: STACK_TEST_PICTURES=1.

Does I/O: writes docs/pictures.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from playwright.sync_api import Locator, Page

from tests.programs import require_program

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def are_wanted() -> bool:
    """Whether somebody asked for them."""
    return os.environ.get("STACK_TEST_PICTURES") == "1"


def draw(shown: Page | Locator, name: str) -> None:
    """Make a picture of what is shown, in few colours; nothing where nobody asked for it."""
    if not are_wanted():
        return
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"{name}.png"
    shown.screenshot(path=path)
    argv = [require_program("pngquant", "pngquant"), "--force", "--strip", "--speed", "1", "--output", str(path)]
    subprocess.run([*argv, "64", str(path)], check=True)
