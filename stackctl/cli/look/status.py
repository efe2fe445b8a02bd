"""``stackctl status``: show which services run."""

from __future__ import annotations

from dataclasses import asdict

import click

from stackctl.cli.console import print_json, print_table, print_text, print_warnings
from stackctl.cli.context import Context


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def status(context: Context, as_json: bool) -> None:
    """Show what runs; 'health' says whether it works."""
    from stackctl.core.health.probes import write_duration
    from stackctl.operations.look.status import StackStatus, load_status
    from stackctl.operations.run.leftovers import check_start

    with context.open() as effects:
        found, remarks = load_status(effects), check_start(effects)
    print_warnings((*remarks, *(found.warnings if found else ())))
    if as_json:
        # The same keys whatever the state, so that a program need not ask which it is first.
        print_json({"running": found is not None, **asdict(found or StackStatus("", "", ()))})
    elif found is None:
        print_text("The stack is not running. Start it with: stackctl up")
    else:
        release = f", release {found.release}" if found.release else ""
        print_text(f"runtime {found.runtime}, device {found.device}{release}")
        rows = [
            (s.name, s.phase, write_duration(s.uptime_s) if s.uptime_s else "", str(s.pid or ""), s.detail)
            for s in found.services
        ]
        if found.notice:
            print_text(f"note: {found.notice}")
        print_table(("service", "state", "up for", "process", ""), rows)
