"""``stackctl providers``: what is behind the gateway, and whether it works; exit 0 when it does, 6 when not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.console import print_json, print_note, print_table, print_text
from stackctl.cli.context import Context
from stackctl.errors import UnhealthyError

if TYPE_CHECKING:
    from stackctl.core.health.providers import ProviderResult
    from stackctl.operations.look.providers import ProvidersReport


@click.command()
@click.option(
    "--test", "tests", is_flag=True, help="Ask each model for one token too, which a provider may charge for."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def providers(context: Context, tests: bool, as_json: bool) -> None:
    """Ask each provider and each engine whether it works, from this machine. Spends nothing without --test."""
    from stackctl.cli.world.asking import ask_provider
    from stackctl.core.health.probes import Status
    from stackctl.operations.look.providers import check_providers

    with context.open() as effects:
        report = check_providers(effects, ask_provider, tests=tests)
    if as_json:
        print_json({"status": report.status, "results": [_describe(item) for item in report.results]})
    else:
        _show(report)
    for remark in report.remarks:
        print_note(remark)
    sys.exit(0 if report.status is Status.OK else UnhealthyError.exit_code)


def _describe(item: ProviderResult) -> dict[str, Any]:
    return {
        "name": item.name,
        "kind": item.kind,
        "address": item.address,
        "models": item.models,
        "status": item.status,
        "state": item.state,
        "detail": item.detail,
        "hint": item.hint,
        "elapsed_s": round(item.elapsed_s, 3),
        "gateway": item.seen and item.seen.state,
        "last_error": (item.seen and item.seen.last_error) or None,
        "last_error_at": (item.seen and item.seen.last_error_at) or None,
        "remark": item.remark,
    }


def _show(report: ProvidersReport) -> None:
    rows = [
        (
            item.name,
            item.kind,
            str(item.status),
            f"{item.state}: {item.detail}" if item.detail else str(item.state),
            f"{item.elapsed_s * 1000:.0f} ms" if item.elapsed_s else "",
            item.seen.describe() if item.seen else "",
            ", ".join(item.models),
        )
        for item in report.results
    ]
    if rows:
        print_table(("provider", "kind", "status", "state", "took", "the gateway has seen", "models"), rows)
    for item in report.results:
        if item.remark:
            print_text(f"note: {item.name}: {item.remark}")
        if item.hint:
            print_text(f"next: {item.name}: {item.hint}")
