"""Make the file of kept answers, or remove it. Does I/O: that file and its folder.

It is a cache: what is no file of this form is removed and made anew.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from gateway.cache.file import FILE_NAME, CacheFile
from gateway.cache.values import CacheError

_VERSION = 1
# Times are in seconds since 1970. Of a request there is its digest alone, of its key the name.
_SCHEMA = f"""
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    BEGIN IMMEDIATE;
    CREATE TABLE answers (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        model TEXT NOT NULL,
        key TEXT NOT NULL,
        target TEXT NOT NULL,
        warning TEXT NOT NULL,
        is_stream INTEGER NOT NULL,
        is_local INTEGER NOT NULL,
        stored_at REAL NOT NULL,
        ends_at REAL NOT NULL,
        used_at REAL NOT NULL,
        answer BLOB NOT NULL
    );
    CREATE INDEX answers_by_use ON answers (used_at);
    CREATE INDEX answers_by_end ON answers (ends_at);
    CREATE TABLE facts (name TEXT PRIMARY KEY, value);
    PRAGMA user_version = {_VERSION};
    COMMIT;
"""


class Prepared(NamedTuple):
    """The file as it was made ready.

    Attributes:
        removed: answers that were removed because they were sealed with another key, or not.
        digests: of those that are kept.
    """

    path: Path
    removed: int
    digests: list[bytes]


def prepare(folder: Path, limit_bytes: int, models: Collection[str], mark: bytes = b"") -> Prepared:
    """Make the file, or anew where it is damaged or of another form. Only its owner may read it.

    Args:
        models: routes whose answers stay in it.
        mark: of the key that answers are sealed with; empty where they are not.

    Raises:
        CacheError: the folder cannot be written.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return _prepare(path, limit_bytes, models, mark)
        except CacheError as error:
            if not error.is_broken:
                raise
            remove(folder)
            return _prepare(path, limit_bytes, models, mark)
    except OSError as error:
        raise CacheError(str(error.strerror).lower()) from error


def remove(folder: Path) -> bool:
    """Remove the file, and what belongs to it; tells whether there was one.

    Raises:
        OSError: it cannot be removed.
    """
    paths = [path for end in ("-wal", "-shm", "") if (path := folder / f"{FILE_NAME}{end}").exists()]
    for path in paths:
        path.unlink(missing_ok=True)
    return bool(paths)


def _prepare(path: Path, limit_bytes: int, models: Collection[str], mark: bytes) -> Prepared:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    file = CacheFile(path, limit_bytes)
    try:
        file.bring_to_form(_VERSION, _SCHEMA)
        removed = file.hold_to_key(mark)
        file.tidy(models)
        return Prepared(path, removed, file.list_digests())
    finally:
        file.close()
