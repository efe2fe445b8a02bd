"""What is true of the gateway now, as series of Prometheus: made anew for each scrape, not counted. Pure.

In: ``Present``. Out: a registry that holds nothing else. Names are bounded: limits are those of the ``MAX_NAMES`` keys
and targets that were asked for last.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

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


class PresentCollector:
    """Gives the series of one scrape to a registry.

    Values alone: a ``Gauge`` would be kept in the files that workers share, and shown for ever as what is true now.
    """

    def __init__(self, present: Present) -> None:
        self._present = present

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every series."""
        present = self._present
        yield from _list_lines(present.lines)
        for owner, limits in present.limits.items():
            yield from _list_limits(owner, limits)
        if present.disk:
            free, size = present.disk
            yield GaugeMetricFamily("gateway_state_disk_free_bytes", "Bytes free for the state.", free)
            yield GaugeMetricFamily("gateway_state_disk_size_bytes", "Bytes of the state's file system.", size)
        names = ("python", "workers", "models")
        info = GaugeMetricFamily("gateway_info", "What this gateway is; always 1.", labels=names)
        info.add_metric((platform.python_version(), str(present.workers), str(present.models)), 1)
        yield info


def build_registry(present: Present) -> CollectorRegistry:
    """A registry with the series of one scrape."""
    registry = CollectorRegistry()
    registry.register(PresentCollector(present))
    return registry


def _list_lines(lines: Mapping[str, Mapping[str, int]]) -> Iterator[GaugeMetricFamily]:
    for name, word, text in (
        ("gateway_slots", "slots", "Requests that an engine answers at once."),
        ("gateway_slots_leased", "leased", "Slots of an engine that are taken."),
        ("gateway_requests_waiting", "waiting", "Requests that wait for a slot."),
    ):
        family = GaugeMetricFamily(name, text, labels=("provider",))
        for provider, line in lines.items():
            family.add_metric((provider,), line[word])
        yield family


def _list_limits(owner: str, limits: Mapping[str, Sequence[Taken]]) -> Iterator[GaugeMetricFamily]:
    labels = (owner, "kind")
    most = GaugeMetricFamily(f"gateway_{owner}_limit", f"Limit of a {owner}, of this kind.", labels=labels)
    used = GaugeMetricFamily(f"gateway_{owner}_limit_used", "How much of the limit is taken now.", labels=labels)
    for name, taken in limits.items():
        for kind, limit, amount in taken:
            most.add_metric((name, kind), limit)
            used.add_metric((name, kind), amount)
    yield most
    yield used
