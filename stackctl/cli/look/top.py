"""``stackctl top``: what the gateway does now, renewed until interrupted, once, or as JSON."""

from __future__ import annotations

from dataclasses import asdict

import click

from stackctl.cli.console import clear_screen, print_json, print_table, print_text
from stackctl.cli.context import Context


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2, max=3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks; rates are those of this time.",
)
@click.option("--once", is_flag=True, help="Show one picture, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print one picture as JSON, and end.")
@click.pass_obj
def top(context: Context, interval: float, once: bool, as_json: bool) -> None:
    """Watch the gateway at work: engines, models, keys, what fails. Asks the gateway alone, and no model."""
    from stackctl.core.live.show import show_picture
    from stackctl.operations.look.top import watch_gateway

    with context.open() as effects:
        for number, picture in enumerate(watch_gateway(effects, interval)):
            if as_json:
                print_json(asdict(picture))
                return
            if not once:
                clear_screen()
            for place, section in enumerate(show_picture(picture)):
                if number or place:
                    print_text()
                if section.rows:
                    print_table(section.headers, section.rows)
                for line in section.lines:
                    print_text(line)
            if once:
                return
