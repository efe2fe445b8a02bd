"""The keys of the database: given out, listed, revoked, replaced. I/O through a connection.

Each function is a job, or a part of one, of ``Database``; what changes keys counts ``keys_revision`` up, so that every
worker reads them again. What a client sends is ``sk-<id>-<secret>``; it leaves this module once, as a result, and only
its hash is kept: 256 random bits cannot be guessed from one, see docs/decisions/keys.md.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from gateway.errors import ApiError, RefusedError
from gateway.state.connection import Connection
from gateway.state.values import Key, Secret, Terms

PREFIX = "sk-"
ID_LENGTH = 10
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_SECRET_BYTES = 32
SENT_LENGTH = len(PREFIX) + ID_LENGTH + 1 + 43

# As the database gives it: equal rows are equal secrets.
SecretRow = tuple[Any, ...]

_COLUMNS = "id, name, terms, created_at, expires_at, revoked_at"
_KEYS = f"SELECT {_COLUMNS} FROM keys"  # noqa: S608, names of our own


def create_key(
    connection: Connection, name: str, terms: Terms, expires_at: float | None, now: float
) -> tuple[Key, str]:
    """Give a new key out; also returns what its client sends, which nobody can be told again.

    Raises:
        RefusedError: 409, a key that is not revoked has this name.
    """
    row = connection.execute(
        "INSERT INTO keys (name, terms, created_at, expires_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING RETURNING id",
        (name, orjson.dumps(terms).decode(), now, expires_at),
    ).fetchone()
    if row is None:
        text = f"There is a key with the name '{name}'; revoke it first, or choose another name."
        raise RefusedError(ApiError(409, "name_taken", text, "name"))
    return Key(row[0], name, terms, now, expires_at), _add_secret(connection, row[0], now)


def change_key(connection: Connection, key: Key) -> None:
    """Keep a key's new terms and its new end."""
    connection.execute(
        "UPDATE keys SET terms = ?, expires_at = ? WHERE id = ?",
        (orjson.dumps(key.terms).decode(), key.expires_at, key.id),
    )
    _count_revision(connection)


def revoke_key(connection: Connection, key: Key, now: float) -> None:
    """End a key for good."""
    connection.execute("UPDATE keys SET revoked_at = ? WHERE id = ?", (now, key.id))
    _count_revision(connection)


def rotate_key(connection: Connection, key: Key, grace_s: float, now: float) -> str:
    """Give a key a new secret, which is returned; those before it end after the grace, or sooner where they did.

    Without a grace they are removed: a clock that is set back must not wake them.
    """
    if grace_s > 0:
        connection.execute("DELETE FROM secrets WHERE key = ? AND ends_at <= ?", (key.id, now))
        connection.execute(
            "UPDATE secrets SET ends_at = CASE WHEN ends_at < ? THEN ends_at ELSE ? END WHERE key = ?",
            (now + grace_s, now + grace_s, key.id),
        )
    else:
        connection.execute("DELETE FROM secrets WHERE key = ?", (key.id,))
    return _add_secret(connection, key.id, now)


def find_key(connection: Connection, name: str) -> Key:
    """The key of a name; of those that are revoked the last one, where no other has it.

    Raises:
        RefusedError: 404.
    """
    order = "ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 1"
    row = connection.execute(f"{_KEYS} WHERE name = ? {order}", (name,)).fetchone()
    if row is None:
        raise RefusedError(ApiError(404, "not_found", "There is no key with this name.", "name"))
    return _build_key(row)


def find_open_key(connection: Connection, name: str) -> Key:
    """The key of a name that is not revoked, held against every other change until the transaction is over.

    Raises:
        RefusedError: 404.
    """
    query = f"UPDATE keys SET name = name WHERE name = ? AND revoked_at IS NULL RETURNING {_COLUMNS}"  # noqa: S608
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        key = find_key(connection, name)
        raise RefusedError(ApiError(404, "not_found", f"The key '{key.name}' is revoked already.", "name"))
    return _build_key(row)


def list_keys(connection: Connection, with_revoked: bool = False) -> list[Key]:
    """Every key, oldest first."""
    condition = "" if with_revoked else "WHERE revoked_at IS NULL"
    return [_build_key(row) for row in connection.execute(f"{_KEYS} {condition} ORDER BY id")]


def list_secrets(connection: Connection, keys: Iterable[Key]) -> list[Secret]:
    """The secrets of these keys, oldest first."""
    known = {key.id: key for key in keys}
    rows = connection.execute("SELECT key, id, hash, created_at, ends_at FROM secrets ORDER BY created_at, id")
    return [
        Secret(id_, hash_, known[owner], created_at, ends_at)
        for owner, id_, hash_, created_at, ends_at in rows
        if owner in known
    ]


def read_open_secrets(connection: Connection) -> tuple[int, list[SecretRow]]:
    """The secrets of all keys that are not revoked, and the revision that they have at least seen."""
    revision = read_revision(connection)  # before them: what is changed between is then read once more, not left out
    rows = connection.execute(
        "SELECT secrets.id, secrets.hash, secrets.created_at, secrets.ends_at,"
        " keys.id, keys.name, keys.terms, keys.created_at, keys.expires_at, keys.revoked_at"
        " FROM secrets JOIN keys ON keys.id = secrets.key WHERE keys.revoked_at IS NULL"
    ).fetchall()
    return revision, rows


def build_secret(row: SecretRow) -> Secret:
    """One of the rows of ``read_open_secrets``."""
    id_, hash_, created_at, ends_at, *key = row
    return Secret(id_, hash_, _build_key(tuple(key)), created_at, ends_at)


def read_revision(connection: Connection) -> int:
    """The number that each change of the keys counts up."""
    (revision,) = connection.execute("SELECT value FROM facts WHERE name = 'keys_revision'").fetchone()
    return int(revision)


def hash_sent(sent: bytes) -> bytes:
    """What is kept of what a client sends."""
    return hashlib.sha256(sent).digest()


def _add_secret(connection: Connection, owner: int, now: float) -> str:
    id_ = "".join(secrets.choice(_ID_LETTERS) for _ in range(ID_LENGTH))
    sent = f"{PREFIX}{id_}-{secrets.token_urlsafe(_SECRET_BYTES)}"
    connection.execute(
        "INSERT INTO secrets (id, key, hash, created_at) VALUES (?, ?, ?, ?)",
        (id_, owner, hash_sent(sent.encode()), now),
    )
    _count_revision(connection)
    return sent


def _count_revision(connection: Connection) -> None:
    connection.execute("UPDATE facts SET value = CAST(value AS BIGINT) + 1 WHERE name = 'keys_revision'")


def _build_key(row: tuple[Any, ...]) -> Key:
    id_, name, terms, created_at, expires_at, revoked_at = row
    return Key(id_, name, _parse_terms(terms), created_at, expires_at, revoked_at)


# Many keys have the same.
@lru_cache(maxsize=1024)
def _parse_terms(text: str) -> Terms:
    fields = orjson.loads(text)
    return Terms(**{**fields, "models": tuple(fields.get("models", ()))})
