"""How much of the disk a folder takes, now and at its largest."""

from __future__ import annotations

import os
import threading
from pathlib import Path

MIB = 1 << 20
_INTERVAL_S = 0.1


def measure_size(folder: Path) -> int:
    """Bytes that its files take on the disk; what is renamed meanwhile is left out."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(root) / name).stat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


class DiskWatch:
    """The most bytes that a folder held during a ``with`` block."""

    def __init__(self, folder: Path) -> None:
        self.peak_bytes = 0
        self._folder = folder
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stopped.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        self.peak_bytes = max(self.peak_bytes, measure_size(self._folder))

    def __enter__(self) -> DiskWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._look()
