"""Ask what was used. In: a kind of row and a span of time. Out: a ``UsageReport``. Does I/O through its effects."""

from __future__ import annotations

from pathlib import Path

from stackctl.core.access.chart import render_chart
from stackctl.core.access.usage import UsageReport, parse_report
from stackctl.operations.access.administer import run_action
from stackctl.operations.effects import Effects

# A sum over millions of requests.
REPORT_S = 120.0


def load_usage(
    effects: Effects, by: str, since: float | None, until: float | None, plot: Path | None = None
) -> tuple[UsageReport, str]:
    """What was used, and the runtime whose state was opened because no gateway runs (empty where one answered).

    Args:
        by: what each row is for: ``key``, ``model``, ``provider`` or ``day``.
        since, until: seconds since 1970; None for no bound.
        plot: path of a picture that is written as SVG; None for none.

    Raises:
        RuntimeFailure: the gateway hangs or cannot use its state.
    """
    bounds = {"since": since, "until": until}
    action = {"do": "usage.report", "by": by, **{name: value for name, value in bounds.items() if value is not None}}
    done = run_action(effects, action, REPORT_S)
    report = parse_report(by, done.body)
    if plot is not None:
        effects.files.save_text(plot, render_chart(report), 0o644)
    return report, done.stopped_in
