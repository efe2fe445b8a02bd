"""What keys have used of their budgets, as the usage records tell. I/O through a connection."""

from __future__ import annotations

import sqlite3


def sum_tokens(connection: sqlite3.Connection, name: str, start_s: float, end_s: float) -> int:
    """Tokens of prompts and answers of the requests of a key that ended within a period.

    Args:
        start_s, end_s: seconds since 1970; the end lies outside.
    """
    (total,) = connection.execute(
        "SELECT SUM(COALESCE(prompt_tokens, 0) + COALESCE(completion_tokens, 0)) FROM usage"
        " WHERE key = ? AND ended_at >= ? AND ended_at < ?",
        (name, start_s, end_s),
    ).fetchone()
    return total or 0
