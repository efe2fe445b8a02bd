"""``stackctl down``: stop the stack."""

from __future__ import annotations

import click

from stackctl.cli.console import print_text
from stackctl.cli.context import Context


@click.command()
@click.pass_obj
def down(context: Context) -> None:
    """Stop the stack; models, settings, keys, usage and logs stay."""
    from stackctl.operations.run.down import run_down

    with context.open() as effects:
        stopped = run_down(effects)
    print_text("The stack is down." if stopped else "The stack was not running.")
