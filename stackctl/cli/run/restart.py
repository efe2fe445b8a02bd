"""``stackctl restart``: restart services and wait for health."""

from __future__ import annotations

import click

from stackctl.cli.console import print_text
from stackctl.cli.context import Context


@click.command()
@click.argument("services", nargs=-1)
@click.option("--wait-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="How long to wait for readiness.")
@click.pass_obj
def restart(context: Context, services: tuple[str, ...], wait_timeout: float | None) -> None:
    """Restart SERVICES (all by default) and wait until the stack is healthy."""
    from stackctl.operations.run.down import run_restart

    with context.open() as effects:
        run_restart(effects, services, wait_timeout)
    print_text(f"Restarted and healthy: {', '.join(services) or 'all services'}.")
