"""Verifying a bundle against hashing its parts, and loading it against copying them."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import median

from tests.bench.commands import (
    STACKCTL,
    Run,
    copy,
    find_peak,
    find_seconds,
    hash_file,
    measure_seconds,
    run,
    write_rate,
)
from tests.bench.disk import MIB, DiskWatch, measure_size
from tests.bench.offline_packing import MAX_MEMORY_MIB, TITLE, Packer
from tests.bench.report import Figure


def measure_verify(packer: Packer, bundle: Path, rounds: int) -> Figure:
    """Every byte read and hashed, by both."""
    parts = sorted(bundle.glob("part-*.tar"))
    verify = [STACKCTL, "--site", str(packer.folder), "offline-verify", *packer.trust, str(bundle)]
    ours: list[Run] = []
    other = []
    for _ in range(rounds):
        other.append(measure_seconds(lambda: [hash_file(path) for path in parts]))
        ours.append(run(verify))
    ratio, peak = median(other) / find_seconds(ours), find_peak(ours)
    return Figure(TITLE, "verify", "stackctl offline-verify",
                  f"{find_seconds(ours):.1f} s, {peak:.0f} MiB of memory",
                  f"hashlib.file_digest of every part: {median(other):.1f} s", ratio,
                  "speed at least 0.9, memory at most 200 MiB", ratio >= 0.9 and peak <= MAX_MEMORY_MIB)  # fmt: skip


def measure_load(packer: Packer, bundle: Path, size_bytes: int, rounds: int) -> Figure:
    """Each time into a new site.

    Args:
        size_bytes: of the model.
    """
    parts = sorted(bundle.glob("part-*.tar"))
    ours: list[Run] = []
    other, extra = [], []
    for number in range(rounds):
        other.append(copy(parts, packer.folder / "copy"))
        site = packer.folder / f"site-{number}"
        site.mkdir()
        with DiskWatch(site) as watch:
            ours.append(run([STACKCTL, "--site", str(site), "offline-load", *packer.trust, str(bundle)]))
        extra.append(watch.peak_bytes - measure_size(site))
        shutil.rmtree(site)
    ratio, peak, rate = median(other) / find_seconds(ours), find_peak(ours), write_rate(size_bytes, find_seconds(ours))
    note = f"{rate}, {peak:.0f} MiB of memory, {max(extra) / MIB:.0f} MiB of temporary disk"
    met = ratio >= 0.85 and peak <= MAX_MEMORY_MIB and max(extra) <= MIB
    return Figure(TITLE, f"load {size_bytes / 1024 / MIB:.0f} GiB, verified on the way", "stackctl offline-load", note,
                  f"cp and sync of the parts: {median(other):.1f} s", ratio,
                  "speed at least 0.85, memory at most 200 MiB, no temporary disk", met)  # fmt: skip
