"""Sites of this user: the one that a command is for, and those that are known."""

from __future__ import annotations

import os
from pathlib import Path

from stackctl.adapters.files import site_folders


def find_site(folder: Path, *, is_named: bool) -> Path:
    """The site's folder: the given one, or, if it was not named, the nearest above it that is a site.

    Raises:
        ConfigError: there is no site.
    """
    return site_folders.find_site(folder, os.environ, is_named=is_named)


def remember_site(folder: Path) -> None:
    """Remember a folder that is a site, so that a command that finds no site can name it."""
    if site_folders.find_mark(folder):
        site_folders.remember_site(folder, os.environ)


def load_known_sites() -> list[Path]:
    """Folders that were sites when a command last ran in them."""
    return site_folders.load_known_sites(os.environ)
