"""``stackctl usage``: what was used, as a table, JSON, CSV or a picture."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from stackctl.cli.console import print_json, print_note, print_piece, print_table, print_text
from stackctl.cli.context import Context
from stackctl.core.access.usage import KINDS


@click.command()
@click.option("--by", type=click.Choice(KINDS), default="key", show_default=True, help="What each row is for.")
@click.option(
    "--since", default="30d", show_default=True, metavar="7d|DATE", help="So long ago, or from that day on (UTC)."
)
@click.option("--until", metavar="7d|DATE", help="So long ago, or up to the end of that day (UTC).  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.svg", help="Draw the tokens as a picture."
)
@click.pass_obj
def usage(
    context: Context, by: str, since: str, until: str | None, as_json: bool, as_csv: bool, plot: Path | None
) -> None:
    """Show what was used, by key, model, provider or day: requests, tokens, time. Never what was said."""
    from stackctl.core.access.usage import HEADERS, render_csv
    from stackctl.operations.access.usage import load_usage

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    begin, end = _parse_span(since, until)
    with context.open() as effects:
        report, stopped_in = load_usage(effects, by, begin, end, plot and plot.absolute())
    if as_json:
        print_json(asdict(report))
    elif as_csv:
        print_piece(render_csv(report))
    elif report.rows:
        rows = [(row.name, *row.list_cells()) for row in (*report.rows, report.total)]
        print_table((by, *HEADERS), rows)
    else:
        print_text("Nothing was used in this time.")
    if stopped_in:
        print_note(f"The gateway is stopped; this is its state in the {stopped_in} runtime.")


def _parse_span(since: str, until: str | None) -> tuple[float, float | None]:
    from stackctl.core.text.moments import parse_since, parse_until

    now = time.time()
    option = "--since"
    try:
        begin = parse_since(since, now)
        option = "--until"
        end = parse_until(until, now) if until else None
        if end is not None and end <= begin:
            raise ValueError(f"'{until}' is not after '{since}'")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
    return begin, end
