"""Make the file of kept answers usable before the first worker starts, or go on without. Does I/O: files, the log."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path

import gateway
from gateway.cache.prepare import prepare, remove
from gateway.cache.presence import Presence
from gateway.cache.seal import Seal
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
    path, reason, seal = None, "this gateway keeps no state", None
    digests: list[bytes] = []
    if settings.state.path:
        try:
            seal = Seal(settings.cache_key) if settings.cache_key else None
            path, digests = _prepare(Path(settings.state.path), limit_bytes, models, seal)
            reason = ""
        except CacheError as error:
            reason = str(error)
    if reason:
        _LOG.error("answers cannot be kept: %s; the gateway goes on without a cache", reason)
    secrets = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in settings.keys.items()}
    return Plan(path, reason, limit_bytes, hash_code(), Presence(digests), seal, secrets)


def _prepare(folder: Path, limit_bytes: int, models: Collection[str], seal: Seal | None) -> tuple[Path, list[bytes]]:
    path, removed, digests = prepare(folder, limit_bytes, models, seal.mark if seal else b"")
    if removed:
        _LOG.warning("%d kept answers were not encrypted with this GATEWAY_CACHE_KEY, and were removed", removed)
    return path, digests


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
