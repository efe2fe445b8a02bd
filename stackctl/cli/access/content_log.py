"""``stackctl content-log``: have prompts and answers written down for a time."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_note, print_text
from stackctl.cli.context import Context

if TYPE_CHECKING:
    from stackctl.operations.access.logged_routes import LoggedRoute

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group("content-log")
def content_log() -> None:
    """Have the gateway write down what is said on some routes: masked, for a time that ends by itself.

    It is written to content.jsonl in the gateway's state, which only its owner may read. The gateway's log never holds
    any of it.
    """


@content_log.command(short_help="Write down what is said.")
@click.argument("models", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Of all routes.")
@click.option(
    "--minutes", type=click.IntRange(1, 24 * 60), default=60, show_default=True, help="How long; a day at most."
)
@_as_json
@click.pass_obj
def start(context: Context, models: tuple[str, ...], is_all: bool, minutes: int, as_json: bool) -> None:
    """Write down what is said on the routes MODELS, for an hour or so many minutes."""
    from stackctl.operations.access.content_log import start_content_log
    from stackctl.operations.access.logged_routes import ALL

    if bool(models) == is_all:
        raise click.UsageError("Name the routes, or say --all.")
    with context.open() as effects:
        routes, stopped_in = start_content_log(effects, (ALL,) if is_all else models, minutes)
    _show(routes, stopped_in, as_json)


@content_log.command(short_help="Write nothing down any more.")
@click.argument("models", nargs=-1)
@_as_json
@click.pass_obj
def stop(context: Context, models: tuple[str, ...], as_json: bool) -> None:
    """Write nothing down any more of the routes MODELS, or of all; what was written stays until it is too old."""
    from stackctl.operations.access.content_log import stop_content_log

    with context.open() as effects:
        routes, stopped_in = stop_content_log(effects, models)
    _show(routes, stopped_in, as_json)


@content_log.command(short_help="Show what is written down.")
@_as_json
@click.pass_obj
def show(context: Context, as_json: bool) -> None:
    """Show which routes are written down, and until when."""
    from stackctl.operations.access.content_log import show_content_log

    with context.open() as effects:
        routes, stopped_in = show_content_log(effects)
    _show(routes, stopped_in, as_json)


def _show(routes: tuple[LoggedRoute, ...], stopped_in: str, as_json: bool) -> None:
    from stackctl.operations.access.logged_routes import describe

    if as_json:
        print_json({"logging": [asdict(route) for route in routes]})
    else:
        for route in routes:
            print_text(describe(route))
        if not routes:
            print_text("Nothing of what is said is written down.")
    if stopped_in:
        print_note(f"The gateway is stopped; this is its state in the {stopped_in} runtime.")
