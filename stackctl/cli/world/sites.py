"""Sites of this user: the one that a command is for, and those that are known."""

from __future__ import annotations

import os
from pathlib import Path

from stackctl.adapters.files import site_folders


def find_site(folder: Path, *, is_named: bool) -> Path:
    """The site's folder: this one, or, if it was not named, the nearest above it that is one.

    Raises:
        ConfigError: there is none.
    """
    return site_folders.find_site(folder, os.environ, is_named=is_named)


def remember_site(folder: Path) -> None:
    """Note a folder that is a site, to be named where a command finds none."""
    if site_folders.find_mark(folder):
        site_folders.remember_site(folder, os.environ)


def load_known_sites() -> list[Path]:
    """Folders that were sites when a command ran in them last."""
    return site_folders.load_known_sites(os.environ)
