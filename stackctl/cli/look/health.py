"""``stackctl health``: a table, JSON, or a view that renews itself; exit 0 when healthy, 6 when not."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import clear_screen, print_json, print_table, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.errors import NotRunning, UnhealthyError

if TYPE_CHECKING:
    from stackctl.core.health.probes import HealthReport


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--watch", is_flag=True, help="Ask again and again until interrupted.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two rounds of --watch.",
)
@click.option("--no-completion", is_flag=True, help="Free probes only: ask no model for an answer.")
@click.pass_obj
def health(context: Context, as_json: bool, watch: bool, interval: float, no_completion: bool) -> None:
    """Ask every layer of every service whether it works. Never calls a provider that may cost money."""
    from stackctl.core.health.probes import HealthReport, Status
    from stackctl.operations.look.health import check_health
    from stackctl.operations.run.leftovers import check_start
    from stackctl.operations.site.running import load_running

    while True:
        with context.open() as effects:
            try:
                report = check_health(effects, load_running(effects), answers=not no_completion)
            except NotRunning:
                if as_json:
                    _show(HealthReport("", "", ()), as_json=True)
                raise
            remarks = check_start(effects)
        if watch:
            clear_screen()
        _show(report, as_json)
        print_warnings(remarks)
        if not watch:
            break
        time.sleep(interval)
    if report.status is not Status.OK:
        sys.exit(UnhealthyError.exit_code)


def _show(report: HealthReport, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "status": report.status if report.results else "stopped",
                "runtime": report.runtime,
                "device": report.device,
                "notice": report.notice,
                "results": [asdict(result) for result in report.results],
            }
        )
        return
    rows = [
        (r.layer, r.subject, str(r.status), r.detail, f"{r.elapsed_s * 1000:.0f} ms" if r.elapsed_s else "")
        for r in report.results
    ]
    print_table(("layer", "subject", "status", "detail", "took"), rows)
    print_text(f"\n{report.status}: runtime {report.runtime}, device {report.device}")
    if report.notice:
        print_text(f"note: {report.notice}")
    for hint in dict.fromkeys(r.hint for r in report.results if r.hint and r.status.value in ("failed", "warning")):
        print_text(f"next: {hint}")
