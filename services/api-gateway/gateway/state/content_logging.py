"""For which routes prompts and answers are logged, and until when. I/O through a connection.

Each function is a job, or a part of one, of ``Database``. The end stands in the database, so that it comes although the
gateway was down meanwhile. Times are in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.state.connection import Connection

# Stands for every route.
ALL = "*"
# Who switched it on: the operator by an action, or the setting at a start of the gateway.
OPERATOR, SETTING = "operator", "GATEWAY_LOG_PROMPTS"
# What a clock may be off: a beginning that lies farther ahead means a clock that was set back.
_CLOCK_S = 60.0


@dataclass(frozen=True, slots=True)
class Logging:
    """That one route's content is logged.

    Attributes:
        model: the route's served name, or ``ALL``.
        source: ``OPERATOR`` or ``SETTING``.
    """

    model: str
    started_at: float
    ends_at: float
    source: str

    def is_on(self, now: float) -> bool:
        """Whether it is on at a time; not where the clock was set back to before it began: it would never end."""
        return self.started_at - _CLOCK_S <= now < self.ends_at


def start_logging(connection: Connection, models: Iterable[str], ends_at: float, source: str, now: float) -> None:
    """Log the content of these routes until then, whatever was said of them before."""
    _remove_ended(connection, now)
    rows = [(model, now, ends_at, source) for model in models]
    query = (
        "INSERT INTO content_logging (model, started_at, ends_at, source) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (model, source) DO UPDATE SET started_at = excluded.started_at, ends_at = excluded.ends_at"
    )
    connection.executemany(query, rows)


def stop_logging(connection: Connection, models: Iterable[str], source: str | None = None) -> None:
    """Log the content of these routes no more; without any, of all. With a source only what it switched on."""
    condition, values = ("source = ?", [source]) if source else ("TRUE", [])
    wanted = list(models)
    if wanted:
        condition += f" AND model IN ({', '.join('?' * len(wanted))})"
    connection.execute(f"DELETE FROM content_logging WHERE {condition}", [*values, *wanted])  # noqa: S608, only marks


def list_logging(connection: Connection, now: float) -> list[Logging]:
    """What is on at a time, by name."""
    rows = connection.execute("SELECT model, started_at, ends_at, source FROM content_logging ORDER BY model, source")
    return [found for row in rows if (found := Logging(*row)).is_on(now)]


def _remove_ended(connection: Connection, now: float) -> None:
    connection.execute("DELETE FROM content_logging WHERE ends_at <= ?", (now,))
