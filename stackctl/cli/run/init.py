"""``stackctl init``: make a folder a site."""

from __future__ import annotations

from pathlib import Path

import click

from stackctl.cli.console import print_text
from stackctl.cli.context import Context


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.pass_obj
def init(context: Context, folder: Path | None) -> None:
    """Make FOLDER (the site by default) ready: .env with fresh keys, stack.yml and models/. Overwrites nothing."""
    from stackctl.operations.site.init import run_init

    site = Context((folder or context.folder).resolve())
    with site.open_here() as effects:
        done = run_init(effects)
    site.remember()
    for line in done:
        print_text(line)
