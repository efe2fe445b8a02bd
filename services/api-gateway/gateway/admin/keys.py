"""The actions about keys. Does I/O through a connection, and asks the clock.

Times are in seconds since 1970. A secret stands in the answers of ``keys.create`` and ``keys.rotate`` and nowhere else.
"""

from __future__ import annotations

import time
from dataclasses import asdict, fields, replace
from typing import Any, get_args

from gateway.admin.fields import (
    Fields,
    check_known,
    read_choice,
    read_count,
    read_end,
    read_flag,
    read_models,
    read_name,
    read_note,
    read_seconds,
    refuse,
)
from gateway.state import keys as table
from gateway.state.connection import Connection
from gateway.state.restored import find_restored_at
from gateway.state.values import Key, Period, Secret, Terms

DEFAULT_GRACE_S, MAX_GRACE_S = 86_400.0, 30 * 86_400.0
_TERMS = frozenset(field.name for field in fields(Terms))


def create(connection: Connection, sent: Fields) -> dict[str, Any]:
    """Give a key out: ``name``, the fields of ``Terms``, ``expires_at``."""
    check_known(sent, _TERMS | {"name", "expires_at"})
    now = time.time()
    key, secret = table.create_key(
        connection, read_name(sent), _read_terms(sent, Terms()), read_end(sent, "expires_at", now), now
    )
    return {**_show(connection, key), "secret": secret}


def change(connection: Connection, sent: Fields) -> dict[str, Any]:
    """Change what a key may: the fields that are sent, and no others; null takes a limit away."""
    check_known(sent, _TERMS | {"name", "expires_at"})
    key = table.find_open_key(connection, read_name(sent))
    expires_at = read_end(sent, "expires_at", time.time()) if "expires_at" in sent else key.expires_at
    key = replace(key, terms=_read_terms(sent, key.terms), expires_at=expires_at)
    table.change_key(connection, key)
    return _show(connection, key)


def list_(connection: Connection, sent: Fields) -> dict[str, Any]:
    """Every key, oldest first; with ``revoked`` those that are, too."""
    check_known(sent, {"revoked"})
    keys = table.list_keys(connection, read_flag(sent, "revoked"))
    found = table.list_secrets(connection, keys)
    by_key: dict[int, list[Secret]] = {key.id: [] for key in keys}
    for secret in found:
        by_key[secret.key.id].append(secret)
    restored_at = find_restored_at(connection)
    return {"keys": [_describe(key, by_key[key.id], restored_at) for key in keys]}


def show(connection: Connection, sent: Fields) -> dict[str, Any]:
    """One key by its ``name``."""
    check_known(sent, {"name"})
    return _show(connection, table.find_key(connection, read_name(sent)))


def revoke(connection: Connection, sent: Fields) -> dict[str, Any]:
    """End a key for good, by its ``name``."""
    check_known(sent, {"name"})
    key = table.find_open_key(connection, read_name(sent))
    table.revoke_key(connection, key, time.time())
    return _show(connection, table.find_key(connection, key.name))


def rotate(connection: Connection, sent: Fields) -> dict[str, Any]:
    """Give a key a new secret, by its ``name``; the old one works for ``grace_s`` seconds more."""
    check_known(sent, {"name", "grace_s"})
    now = time.time()
    key = table.find_open_key(connection, read_name(sent))
    if key.expires_at is not None and key.expires_at <= now:
        refuse("name", "a key that has not expired; change its end, or revoke it and create another")
    secret = table.rotate_key(connection, key, read_seconds(sent, "grace_s", DEFAULT_GRACE_S, MAX_GRACE_S), now)
    return {**_show(connection, key), "secret": secret}


def _read_terms(sent: Fields, terms: Terms) -> Terms:
    """What was sent, over what there was."""
    counts = ("requests_per_minute", "tokens_per_minute", "parallel_requests", "budget_tokens")
    read: dict[str, Any] = {name: read_count(sent, name) for name in counts}
    read |= {
        "models": read_models(sent, "models"),
        "budget_period": read_choice(sent, "budget_period", get_args(Period)),
        "local_only": read_flag(sent, "local_only"),
        "note": read_note(sent, "note"),
    }
    return replace(terms, **{name: value for name, value in read.items() if name in sent})


def _show(connection: Connection, key: Key) -> dict[str, Any]:
    return {"key": _describe(key, table.list_secrets(connection, [key]), find_restored_at(connection))}


def _describe(key: Key, secrets: list[Secret], restored_at: float | None) -> dict[str, Any]:
    """A key as it is shown.

    ``unknown_since``: when the database was found to be an older copy, where it is not known whether the key was
    revoked before; a new secret, or the end of the key, settles it.
    """
    is_unknown = (
        restored_at is not None
        and key.revoked_at is None
        and any(
            item.created_at < restored_at and (item.ends_at is None or item.ends_at > time.time()) for item in secrets
        )
    )
    shown = [{"id": item.id, "created_at": item.created_at, "ends_at": item.ends_at} for item in secrets]
    return {
        "id": key.id,
        "name": key.name,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "unknown_since": restored_at if is_unknown else None,
        **asdict(key.terms),
        "secrets": shown,
    }
