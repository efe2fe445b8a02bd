"""Read series in Prometheus' text format. Pure: text in, values out.

Source: Prometheus, "Exposition formats", text-based format 0.0.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_LINE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*")
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPES: Final = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Scrape:
    """Every series at one moment.

    Attributes:
        taken_at: seconds of a clock that never goes back.
        series: value by labels, sorted by name, of each metric.
    """

    taken_at: float
    series: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def read(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Labels and value of every series of a metric; none where there is no such metric."""
        return ((dict(labels), value) for labels, value in self.series.get(name, {}).items())


def parse_scrape(text: str, taken_at: float) -> Scrape:
    """Read a page of series; comments are left out.

    Raises:
        ValueError: a line is no series; quotes it.
    """
    series: dict[str, dict[Labels, float]] = {}
    # Not splitlines: a value of a label may hold what Unicode calls a line's end.
    for line in filter(str.strip, text.split("\n")):
        if line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        try:
            if found is None:
                raise ValueError
            name, labels, value = found.groups()
            series.setdefault(name, {})[_parse_labels(labels or "")] = float(value)
        except ValueError:
            raise ValueError(f"'{line[:80]}' is no series of Prometheus' text format") from None
    return Scrape(taken_at, series)


def _parse_labels(text: str) -> Labels:
    labels, place = {}, 0
    while place < len(text):
        found = _LABEL.match(text, place)
        if found is None:
            raise ValueError
        labels[found[1]] = re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], escape[0]), found[2])
        place = found.end()
    return tuple(sorted(labels.items()))
