"""What ``/metrics`` says of this moment, gathered when it is asked. Does I/O: the arbiter, the state's file system."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from gateway.edge.parts import Parts
from gateway.observe.metrics import count_unwritten
from gateway.observe.present import MAX_NAMES, Present, Taken
from gateway.routing.key_limits import build_bounds
from gateway.settings import Settings
from gateway.state.values import Key


async def describe_present(parts: Parts, settings: Settings, models: int) -> Present:
    """Everything that is not counted but looked at.

    Args:
        models: number of models that are served.
    """
    lines, taken = await parts.slots.describe(), await parts.slots.list_taken(MAX_NAMES)
    return Present(
        {name: asdict(lines[name]) for name in sorted(lines)},
        _sort_limits(taken, {key.id: key for key in parts.keyring.list_keys()}),
        await asyncio.to_thread(_measure_disk, settings.state.path) if settings.state.path else None,
        settings.workers,
        models,
    )


def describe_state(parts: Parts, with_reason: bool) -> dict[str, Any]:
    """Whether the database can be used, as this worker sees it, and the records of all workers that wait for it.

    Args:
        with_reason: for the operator, who may learn where it is.
    """
    refresher = parts.refresher
    if refresher is None:
        return {"kind": parts.state_kind}
    waiting, lost = count_unwritten()
    found: dict[str, Any] = {"kind": parts.state_kind, "status": "unavailable" if refresher.failure else "ok"}
    if refresher.failure:
        found |= {"since": refresher.failing_since} | ({"reason": refresher.failure} if with_reason else {})
    return {**found, "usage_waiting": waiting, "usage_lost": lost}


def _sort_limits(taken: Mapping[str, Iterable[Taken]], keys: Mapping[int, Key]) -> dict[str, dict[str, list[Taken]]]:
    """The limits by whose they are and by name; without those of keys that are gone, or have other limits by now."""
    found: dict[str, dict[str, list[Taken]]] = {"key": {}, "target": {}}
    for account, limits in sorted(taken.items()):
        owner, _, name = account.partition(" ")
        if owner != "key":
            found.setdefault(owner, {})[name] = list(limits)
        elif key := keys.get(int(name.partition(" ")[0])):
            found[owner][key.name] = _renew(limits, key)
    return found


def _renew(limits: Iterable[Taken], key: Key) -> list[Taken]:
    """What is taken of the limits that the key has now, which may have changed since its last request."""
    bounds = build_bounds(key)
    now = {
        "requests": bounds.requests_per_minute,
        "tokens": bounds.tokens_per_minute,
        "parallel": bounds.parallel_requests,
        "budget": bounds.budget_tokens,
    }
    return [(kind, limit, used) for kind, _, used in limits if (limit := now[kind])]


def _measure_disk(folder: str) -> tuple[int, int] | None:
    """Bytes that are free for the state, and all bytes of its file system; None where it cannot be asked."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
