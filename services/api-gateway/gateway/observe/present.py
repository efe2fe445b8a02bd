"""What is true of the gateway now, as series of Prometheus: made anew for each scrape, not counted. Pure.

In: ``Present``. Out: a registry that holds nothing else. Names are bounded: limits are those of the ``MAX_NAMES`` keys
and targets that were asked for last.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

MAX_NAMES: Final = 200

# How much of one limit is taken: its kind, the limit, and what is used of it.
Taken = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Present:
    """What is true now.

    Attributes:
        lines: ``slots``, ``leased`` and ``waiting`` of each engine by its provider's name, as the arbiter of all
            workers knows them.
        limits: of whom, ``key``, ``target`` or ``provider``, to the limits of each by name.
        disk: bytes of the state's file system that are free, and all of its bytes; None where no state is kept.
    """

    lines: Mapping[str, Mapping[str, int]]
    limits: Mapping[str, Mapping[str, Sequence[Taken]]] = field(default_factory=dict)
    disk: tuple[int, int] | None = None
    workers: int = 1
    models: int = 0


def build_registry(present: Present) -> CollectorRegistry:
    """The series of one scrape."""
    registry = CollectorRegistry()
    _add_lines(registry, present.lines)
    for owner, limits in present.limits.items():
        _add_limits(registry, owner, limits)
    if present.disk:
        free, size = present.disk
        Gauge("gateway_state_disk_free_bytes", "Bytes free for the state.", registry=registry).set(free)
        Gauge("gateway_state_disk_size_bytes", "Bytes of the state's file system.", registry=registry).set(size)
    names = ("python", "workers", "models")
    info = Gauge("gateway_info", "What this gateway is; always 1.", names, registry=registry)
    info.labels(platform.python_version(), str(present.workers), str(present.models)).set(1)
    return registry


def _add_lines(registry: CollectorRegistry, lines: Mapping[str, Mapping[str, int]]) -> None:
    slots = Gauge("gateway_slots", "Requests that an engine answers at once.", ("provider",), registry=registry)
    leased = Gauge("gateway_slots_leased", "Slots of an engine that are taken.", ("provider",), registry=registry)
    waiting = Gauge("gateway_requests_waiting", "Requests that wait for a slot.", ("provider",), registry=registry)
    for provider, line in lines.items():
        slots.labels(provider).set(line["slots"])
        leased.labels(provider).set(line["leased"])
        waiting.labels(provider).set(line["waiting"])


def _add_limits(registry: CollectorRegistry, owner: str, limits: Mapping[str, Sequence[Taken]]) -> None:
    labels = (owner, "kind")
    most = Gauge(f"gateway_{owner}_limit", f"Limit of a {owner}, of this kind.", labels, registry=registry)
    used = Gauge(f"gateway_{owner}_limit_used", "How much of the limit is taken now.", labels, registry=registry)
    for name, taken in limits.items():
        for kind, limit, amount in taken:
            most.labels(name, kind).set(limit)
            used.labels(name, kind).set(amount)
