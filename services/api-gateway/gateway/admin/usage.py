"""The action about usage. Does I/O through a connection."""

from __future__ import annotations

from typing import Any, cast, get_args

from gateway.admin.fields import Fields, check_known, read_choice, read_time, refuse
from gateway.state.connection import Connection
from gateway.state.usage import Grouping, UsageSum, report_usage

_GROUPINGS: tuple[str, ...] = get_args(Grouping)


def report(connection: Connection, sent: Fields) -> dict[str, Any]:
    """What was used ``by`` each key, model, provider or day, from ``since`` to before ``until``, and in all."""
    check_known(sent, {"by", "since", "until"})
    by = cast("Grouping", read_choice(sent, "by", _GROUPINGS))
    since, until = read_time(sent, "since"), read_time(sent, "until")
    if since is not None and until is not None and until < since:
        refuse("until", "a time that is not before 'since'")
    rows = report_usage(connection, by, since, until)
    total: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in UsageSum._fields[1:]}
    return {"rows": [row._asdict() for row in rows], "total": total, "since": since, "until": until}
