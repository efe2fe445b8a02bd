"""Make the file of kept answers usable before the first worker starts, or go on without. Does I/O: files, the log."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import gateway
from gateway.cache.prepare import prepare, remove
from gateway.cache.store import Plan
from gateway.cache.values import CacheError
from gateway.catalog.values import Catalog
from gateway.settings import Settings

_LOG = logging.getLogger("gateway.cache")
_MIB = 1024 * 1024


def prepare_cache(settings: Settings, catalog: Catalog) -> Plan | None:
    """What workers are to open; None where no route has a cache."""
    models = {name for name, route in catalog.routes.items() if route.cache}
    if not models:
        _forget(settings.state.path)
        return None
    limit_bytes = catalog.cache_mb * _MIB
    path, reason = None, "this gateway keeps no state"
    if settings.state.path:
        try:
            path, reason = prepare(Path(settings.state.path), limit_bytes, models), ""
        except CacheError as error:
            reason = str(error)
    if reason:
        _LOG.error("answers cannot be kept: %s; the gateway goes on without a cache", reason)
    return Plan(path, reason, limit_bytes, hash_code())


def _forget(folder: str) -> None:
    """Remove what an earlier configuration kept."""
    try:
        if folder and remove(Path(folder)):
            _LOG.warning("no route has a cache any more: the answers kept earlier were removed")
    except OSError as error:
        _LOG.error("no route has a cache any more, and the answers kept earlier cannot be removed: %s", error.strerror)


def hash_code() -> str:
    """What tells this program from another version of it: after an update answers are made anew."""
    digest = hashlib.sha256()
    root = Path(gateway.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
