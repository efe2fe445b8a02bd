"""What was used, as the gateway reports it: rows of one kind and their sum, as a table and as CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from stackctl.core.text.progress import write_duration

KINDS: Final = ("key", "model", "provider", "day")
HEADERS: Final = ("requests", "failed", "prompt", "answer", "cached", "took")


@dataclass(frozen=True, slots=True)
class Used:
    """What one key, model, provider or day used.

    Attributes:
        failed: how many of the requests did not end well.
        prompt_tokens, completion_tokens, cached_tokens: tokens in, out, and of those in how many were cached.
        duration_s: seconds that the requests took, added up.
    """

    name: str
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    duration_s: float

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers, as budgets count them."""
        return self.prompt_tokens + self.completion_tokens

    def list_cells(self) -> tuple[str, ...]:
        """A table's cells beside the name, in the order of ``HEADERS``."""
        counts = (self.requests, self.failed, self.prompt_tokens, self.completion_tokens, self.cached_tokens)
        return (*(f"{count:,}" for count in counts), write_duration(self.duration_s))


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What was used from one moment to another.

    Attributes:
        by: what each row is for, one of ``KINDS``.
        since, until: seconds since 1970; None for the whole time.
    """

    by: str
    rows: tuple[Used, ...]
    total: Used
    since: float | None
    until: float | None


def parse_report(by: str, body: Mapping[str, Any]) -> UsageReport:
    """Read the gateway's answer; a figure that nobody counted is 0."""
    rows = tuple(_parse_row(row) for row in body.get("rows", ()))
    return UsageReport(
        by, rows, _parse_row({**body.get("total", {}), "name": "total"}), body.get("since"), body.get("until")
    )


def _parse_row(row: Mapping[str, Any]) -> Used:
    requests, failed, prompt, completion, cached = (int(row.get(field.name) or 0) for field in fields(Used)[1:-1])
    duration_s = float(row.get("duration_s") or 0)
    return Used(str(row.get("name") or "-"), requests, failed, prompt, completion, cached, duration_s)


def render_csv(report: UsageReport) -> str:
    """The rows as CSV with a header, without the sum: a spreadsheet adds up by itself."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    names = [field.name for field in fields(Used)]
    writer.writerow([report.by, *names[1:]])
    writer.writerows([getattr(row, name) for name in names] for row in report.rows)
    return text.getvalue()
