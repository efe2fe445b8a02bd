"""``stackctl drill``: what clients see when a provider fails, compared with what the documentation promises."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from stackctl.cli.console import print_json, print_table, print_text
from stackctl.cli.context import Context
from stackctl.core.drill.asks import ClientFormat
from stackctl.errors import ConfigError, UnhealthyError, suggest_nearest

if TYPE_CHECKING:
    from stackctl.core.drill.rows import Row
    from stackctl.operations.look.drill import Drilled


@click.command()
@click.argument("faults", nargs=-1)
@click.option(
    "--format",
    "formats",
    type=click.Choice(get_args(ClientFormat)),
    multiple=True,
    help="Ask in this format; may be given several times.  [default: chat, messages]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def drill(context: Context, faults: tuple[str, ...], formats: tuple[ClientFormat, ...], as_json: bool) -> None:
    """Let a provider of stackctl's own fail in every way, or in these FAULTS, and look at what clients see.

    Runs that provider and a second gateway on free ports of this machine; the stack that runs is not touched.
    """
    from stackctl.cli.world.drilling import build_drill_effects
    from stackctl.operations.look.drill import run_drill
    from stackctl.operations.site.load import load_site

    rows = _choose_rows(faults)
    with context.open() as effects:
        drilled = run_drill(build_drill_effects(effects, load_site(effects)), rows, formats or ("chat", "messages"))
    is_good = not any(item.problems for item in drilled)
    if as_json:
        print_json({"ok": is_good, "requests": [_describe(item) for item in drilled]})
    else:
        _show(rows, drilled)
    sys.exit(0 if is_good else UnhealthyError.exit_code)


def _choose_rows(names: tuple[str, ...]) -> tuple[Row, ...]:
    from stackctl.core.drill.rows import ROWS

    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            raise ConfigError(f"'{name}' is no fault.", suggest_nearest(name, known) or f"faults: {', '.join(known)}")
    return tuple(known[name] for name in names) or ROWS


def _describe(item: Drilled) -> dict[str, Any]:
    return {
        "fault": item.plan.row.name,
        "outcome": item.plan.row.outcome,
        "format": item.plan.ask.format,
        "streamed": item.plan.ask.is_streamed,
        "next_provider": item.plan.has_next,
        "saw": item.saw,
        "seconds": round(item.elapsed_s, 3),
        "problems": item.problems,
    }


def _show(rows: Sequence[Row], drilled: Sequence[Drilled]) -> None:
    table = []
    for row in rows:
        of_row = [item for item in drilled if item.plan.row is row]
        saw = [_list_sights(of_row, has_next) for has_next in (False, True)]
        longest = max((item.elapsed_s for item in of_row), default=0.0)
        verdict = "differs" if any(item.problems for item in of_row) else "as promised"
        table.append((row.name, row.outcome, *saw, f"{longest:.1f} s", verdict))
    heads = ("fault", "the provider", "clients see", "with another provider", "longest", "")
    print_table(heads, table)
    differing = [line for item in drilled for line in _list_problems(item)]
    for line in differing:
        print_text(line)
    bad = sum(bool(item.problems) for item in drilled)
    print_text(f"\n{len(drilled)} requests, {len(drilled) - bad} as promised" + (f", {bad} not" if bad else ""))


def _list_sights(of_row: Sequence[Drilled], has_next: bool) -> str:
    """What clients of the first format saw, each thing once; those of others see the same in their own words."""
    sights = [
        item.saw for item in of_row if item.plan.has_next is has_next and item.plan.ask.format == _find_first(of_row)
    ]
    return "; ".join(dict.fromkeys(sights))


def _find_first(of_row: Sequence[Drilled]) -> ClientFormat:
    return of_row[0].plan.ask.format


def _list_problems(item: Drilled) -> Iterator[str]:
    ask = item.plan.ask
    way = f"{ask.format}{', streamed' if ask.is_streamed else ''}{', another provider' if item.plan.has_next else ''}"
    for problem in item.problems:
        yield f"differs  {item.plan.row.name} ({way}): {problem}"
