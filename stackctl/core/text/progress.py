"""How far a long transfer is: share, rate and time left, as one line. Pure; the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

MIN_INTERVAL_S = 0.2
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def write_size(size: int) -> str:
    """A size for people: ``1.5 GiB``, ``12 MiB``, ``512 B``."""
    for unit, name in _UNITS:
        if size >= unit:
            value = size / unit
            return f"{value:.1f} {name}" if value < 10 else f"{value:.0f} {name}"
    return f"{size} B"


def write_duration(seconds: float) -> str:
    """A duration for people: ``8 s``, ``2 min 05 s``, ``1 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@dataclass(slots=True)
class Transfer:
    """Bytes moved so far, reported at most a few times a second.

    Attributes:
        title: word that the line begins with: ``packing``.
        total: bytes of the whole transfer; 0 where it is not known.
    """

    title: str
    total: int
    report: Callable[[str], None]
    clock: Callable[[], float]
    done: int = 0
    _skipped: int = 0
    _started: float = field(default=-1.0)
    _reported: float = field(default=-1.0)

    def skip(self, size: int) -> None:
        """Count bytes that were there already: they say nothing about the rate."""
        self.done += size
        self._skipped += size

    def add(self, size: int) -> None:
        """Count bytes, and report now and then."""
        now = self.clock()
        if self._started < 0:
            self._started = now
        self.done += size
        if now - self._reported >= MIN_INTERVAL_S:
            self._reported = now
            self.report(self.render(now - self._started))

    def render(self, elapsed_s: float) -> str:
        """The line to show: ``packing: 1.2 GiB of 8.0 GiB, 512 MiB/s, 14 s left``."""
        moved = self.done - self._skipped
        rate = moved / elapsed_s if elapsed_s > 0 else 0.0
        text = f"{self.title}: {write_size(self.done)}"
        if self.total:
            text += f" of {write_size(self.total)}"
        if rate > 0:
            text += f", {write_size(round(rate))}/s"
            if self.total > self.done:
                text += f", {write_duration((self.total - self.done) / rate)} left"
        return text
