"""``stackctl cache``: the answers that the gateway keeps."""

from __future__ import annotations

from dataclasses import asdict

import click

from stackctl.cli.console import print_json, print_note, print_table, print_text
from stackctl.cli.context import Context

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
def cache() -> None:
    """See and remove the answers that the gateway keeps for routes with a cache.

    Which routes have one stands in stack.yml; docs/guides/cache.md says what is kept, and for whom.
    """


@cache.command(short_help="Show how much is kept.")
@_as_json
@click.pass_obj
def show(context: Context, as_json: bool) -> None:
    """Show how many answers are kept, of each route; never what they say."""
    from stackctl.core.text.progress import write_size
    from stackctl.operations.access.cache import show_cache

    with context.open() as effects:
        content, stopped_in = show_cache(effects)
    if as_json:
        print_json(asdict(content))
    elif content.answers:
        rows = [(item.model, str(item.answers), write_size(item.bytes)) for item in content.models]
        print_table(("route", "answers", "size"), rows)
        kept = "1 answer is kept" if content.answers == 1 else f"{content.answers} answers are kept"
        print_text(f"{kept}, in {write_size(content.bytes)}.")
    else:
        print_text("No answers are kept.")
    _note(stopped_in)


@cache.command(short_help="Remove answers.")
@click.option("--route", default="", metavar="NAME", help="Only those of this route.")
@click.option("--key", default="", metavar="NAME", help="Only those that this key asked for.")
@_as_json
@click.pass_obj
def clear(context: Context, route: str, key: str, as_json: bool) -> None:
    """Remove the answers that are kept: all, or those of a route or a key."""
    from stackctl.operations.access.cache import clear_cache

    with context.open() as effects:
        removed, stopped_in = clear_cache(effects, route, key)
    if as_json:
        print_json({"removed": removed})
    else:
        print_text("1 answer was removed." if removed == 1 else f"{removed} answers were removed.")
    _note(stopped_in)


def _note(stopped_in: str) -> None:
    if stopped_in:
        print_note(f"The gateway is stopped; this is its state in the {stopped_in} runtime.")
