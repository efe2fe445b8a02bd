"""The actions about logging prompts and answers. Does I/O through a connection, and asks the clock."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from gateway.admin.fields import Fields, check_known, read_count, read_models, refuse
from gateway.state.connection import Connection
from gateway.state.content_logging import OPERATOR, list_logging, start_logging, stop_logging

DEFAULT_MINUTES, MAX_MINUTES = 60, 24 * 60


def start(connection: Connection, sent: Fields) -> dict[str, Any]:
    """Log the content of ``models``, ``*`` for all, for ``minutes``: at most a day, 60 where nothing is said."""
    check_known(sent, {"models", "minutes"})
    models = read_models(sent, "models")
    if not models:
        refuse("models", "a list of names of routes, or of '*' for all")
    minutes = read_count(sent, "minutes") or DEFAULT_MINUTES
    if minutes > MAX_MINUTES:
        refuse("minutes", f"a whole number from 1 to {MAX_MINUTES}")
    now = time.time()
    start_logging(connection, models, now + 60.0 * minutes, OPERATOR, now)
    return show(connection, {})


def stop(connection: Connection, sent: Fields) -> dict[str, Any]:
    """Log the content of ``models`` no more; of none, where none are named."""
    check_known(sent, {"models"})
    stop_logging(connection, read_models(sent, "models"))
    return show(connection, {})


def show(connection: Connection, sent: Fields) -> dict[str, Any]:
    """What is on now."""
    check_known(sent, ())
    return {"logging": [asdict(item) for item in list_logging(connection, time.time())]}
