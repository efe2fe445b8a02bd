"""``stackctl logs``: show what services wrote."""

from __future__ import annotations

import click

from stackctl.cli.console import print_text
from stackctl.cli.context import Context
from stackctl.core.text.log_lines import write_log_line


@click.command()
@click.argument("services", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="Lines from the end.")
@click.option("--raw", is_flag=True, help="Lines as the services wrote them: the gateway's are JSON.")
@click.pass_obj
def logs(context: Context, services: tuple[str, ...], follow: bool, lines: int, raw: bool) -> None:
    """Show the output of SERVICES (all by default)."""
    from stackctl.operations.look.status import follow_logs, load_logs

    def show(name: str, line: str) -> None:
        for part in (line,) if raw else write_log_line(line).split("\n"):
            print_text(part if raw else f"{name} | {part}")

    with context.open() as effects:
        if follow:
            follow_logs(effects, services, lines, show)
            return
        for name, text in load_logs(effects, services, lines).items():
            for line in text.splitlines() or ([] if raw else ["(nothing)"]):
                show(name, line)
