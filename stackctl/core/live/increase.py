"""What happened between two scrapes: increases of counters, and quantiles of histograms. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from stackctl.core.live.exposition import Scrape


@dataclass(frozen=True, slots=True)
class Window:
    """The time between two scrapes of the same gateway."""

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        """How long it is; more than 0."""
        return max(self.after.taken_at - self.before.taken_at, 1e-6)

    def sum_increase(self, name: str, by: str = "", **wanted: str) -> dict[str, float]:
        """How much counters of a name grew, added up by the values of a label; under "" where there is none.

        A counter that is smaller than before began anew, so that all of it is growth.

        Args:
            wanted: values that other labels must have.
        """
        earlier = self.before.series.get(name, {})
        sums: defaultdict[str, float] = defaultdict(float)
        for key, value in self.after.series.get(name, {}).items():
            labels = dict(key)
            if all(labels.get(label) == text for label, text in wanted.items()):
                start = earlier.get(key, 0.0)
                sums[labels.get(by, "")] += value - start if value >= start else value
        return dict(sums)

    def find_quantiles(self, name: str, by: str = "", *, shares: tuple[float, ...]) -> dict[str, tuple[float, ...]]:
        """Quantiles of a histogram's observations in the window, by the values of a label; only where there are any."""
        groups: defaultdict[str, dict[float, float]] = defaultdict(dict)
        for bound in {labels["le"] for labels, _ in self.after.read(f"{name}_bucket") if "le" in labels}:
            for label, count in self.sum_increase(f"{name}_bucket", by, le=bound).items():
                groups[label][float(bound)] = count
        return {
            label: tuple(find_quantile(buckets, share) for share in shares)
            for label, buckets in groups.items()
            if buckets.get(math.inf, 0.0) > 0
        }


def find_quantile(buckets: Mapping[float, float], share: float) -> float:
    """A quantile from the cumulative counts of a histogram with at least one observation.

    Within a bucket observations count as evenly spread; what lies above the last bound is given as that bound.

    Args:
        buckets: count by upper bound, ``inf`` among them.
        share: from 0 to 1.

    Source: Prometheus, ``histogram_quantile``.
    """
    rank = share * buckets[math.inf]
    low, below = 0.0, 0.0
    for bound in sorted(buckets):
        count = max(buckets[bound], below)
        if count >= rank and count > below:
            return low if math.isinf(bound) else low + (bound - low) * max(rank - below, 0.0) / (count - below)
        if not math.isinf(bound):
            low, below = bound, count
    return low
