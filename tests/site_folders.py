"""Site folders, made as ``stackctl init`` makes them; without a process, which would take as long as most tests."""

from __future__ import annotations

from pathlib import Path

from stackctl.cli.context import Context
from stackctl.operations.site.init import run_init


def make_site_folder(folder: Path) -> None:
    """Make a folder a site, with keys of its own."""
    site = Context(folder.resolve())
    with site.open_here() as effects:
        run_init(effects)
    site.remember()
