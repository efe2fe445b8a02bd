"""Make the state usable before the first worker starts, or go on without it. Does I/O: files, the log."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from gateway.settings import Settings
from gateway.state.database import StateError, prepare, set_aside
from gateway.state.restored import note_restored

_LOG = logging.getLogger("gateway.state")


def prepare_state(settings: Settings) -> Path | None:
    """The path of the database; None where the gateway keeps no state, or goes on without.

    A damaged file is set aside, and the gateway goes on with an empty one: with the keys of its environment alone.

    Raises:
        StateError: the state cannot be used, and ``settings`` say that it must be.
    """
    if not settings.state_path:
        return None
    folder = Path(settings.state_path)
    try:
        return _prepare(folder)
    except StateError as error:
        if settings.is_state_required:
            raise
        _LOG.error("%s; only GATEWAY_KEY and GATEWAY_ADMIN_KEY open this gateway", error)
        if not error.is_broken:
            return None
    try:
        aside = set_aside(folder)
        path = _prepare(folder)
    except StateError as error:
        _LOG.error("%s", error)
        return None
    _LOG.error("the damaged state is now %s, and a new one was made", aside)
    return path


def _prepare(folder: Path) -> Path:
    path = prepare(folder)
    if missed := note_restored(path, time.time()):
        _LOG.error(
            "the gateway's state %s is an older copy that misses %d changes of keys: those that were revoked since it"
            " was made open the gateway again; 'stackctl keys list' marks them, to be revoked or rotated",
            path,
            missed,
        )
    return path
