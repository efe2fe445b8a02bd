"""``stackctl logs``: show what services wrote."""

from __future__ import annotations

import click

from stackctl.cli.console import print_text
from stackctl.cli.context import Context


@click.command()
@click.argument("services", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="Lines from the end.")
@click.pass_obj
def logs(context: Context, services: tuple[str, ...], follow: bool, lines: int) -> None:
    """Show the output of SERVICES (all by default)."""
    from stackctl.operations.look.status import follow_logs, load_logs

    with context.open() as effects:
        if follow:
            follow_logs(effects, services, lines, lambda name, line: print_text(f"{name} | {line}"))
            return
        for name, text in load_logs(effects, services, lines).items():
            print_text("\n".join(f"{name} | {line}" for line in text.splitlines()) or f"{name} | (nothing)")
