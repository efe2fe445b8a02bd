"""Make the state usable before the first worker starts, or go on without it. Does I/O: files, the log."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from gateway.settings import Settings, StateSettings
from gateway.state.connection import StateError
from gateway.state.database import FILE_NAME, Place, prepare, set_aside
from gateway.state.postgres import PostgresServer
from gateway.state.restored import note_restored

_LOG = logging.getLogger("gateway.state")


def prepare_state(settings: Settings) -> Place | None:
    """Where the database is; None where the gateway keeps no state, or goes on without.

    A damaged file is set aside, and the gateway goes on with an empty one: with the keys of its environment alone. A
    server that is away is asked again by everything that needs it.

    Raises:
        StateError: the state cannot be used, and ``settings`` say that it must be.
    """
    place = find_place(settings.state)
    if place is None:
        return None
    try:
        make_ready(place)
    except StateError as error:
        if settings.is_state_required:
            raise
        until = "" if isinstance(place, Path) else " until it can be used"
        _LOG.error("%s; only GATEWAY_KEY and GATEWAY_ADMIN_KEY open this gateway%s", error, until)
        if isinstance(place, Path):
            return _begin_anew(place) if error.is_broken else None
    return place


def find_place(state: StateSettings) -> Place | None:
    """Where the settings have the database; None where they have none."""
    if not state.path:
        return None
    folder = Path(state.path)
    if not state.database_url:
        return folder / FILE_NAME
    return PostgresServer(
        state.database_url, folder, state.database_password, state.database_password_file, state.ca_bundle
    )


def make_ready(place: Place) -> None:
    """Make the tables, or bring older ones to the newest form, and say where they are an older copy's.

    Raises:
        StateError: they cannot be used.
    """
    if isinstance(place, Path):
        prepare(place.parent)
    else:
        place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (left := place.folder / FILE_NAME).exists():
            _LOG.warning("the keys and usage of %s are not used: the gateway's state is %s", left, place)
        place.connect().close()
    if missed := note_restored(place, time.time()):
        _LOG.error(
            "the gateway's state %s is an older copy that misses %d changes of keys: those that were revoked since it"
            " was made open the gateway again; 'stackctl keys list' marks them, to be revoked or rotated",
            place,
            missed,
        )


def _begin_anew(path: Path) -> Path | None:
    try:
        aside = set_aside(path.parent)
        prepare(path.parent)
    except StateError as error:
        _LOG.error("%s", error)
        return None
    _LOG.error("the damaged state is now %s, and a new one was made", aside)
    return path
