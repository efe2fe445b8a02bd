"""What control groups and the processor mask leave to this process. Reads ``/proc`` and the control groups' files.

In: the files of cgroup version 1 and 2, as the kernel's guide describes them; a container may have either. Out: a
``Limits``; what cannot be read bounds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from stackctl.core.machine.limits import Limits

_Read = Callable[[str], str]


def load_limits(root: Path = Path("/"), usable_cpus: int | None = None) -> Limits:
    """Read the limits of this process.

    Args:
        root: folder under which the machine's files are; a folder of a test's own stands for a whole machine.
        usable_cpus: number of processors in this process' mask, by default the real one.
    """
    allowed = usable_cpus or count_usable_cpus()
    quotas = [quota for folder in _list_groups(root, "cpu") if (quota := _find_cpus(_reader(folder)))]
    # Half a processor more is none for threads that wait for each other: two at one and a half were slower than one.
    cpus = min([allowed, *(max(int(quota), 1) for quota in quotas)])
    bounds = [bound for folder in _list_groups(root, "memory") if (bound := _find_memory(_reader(folder)))]
    return Limits(
        cpus if cpus < _count_cores(root) else None,
        min((limit for limit, _ in bounds), default=None),
        min((left for _, left in bounds), default=None),
    )


def count_usable_cpus() -> int:
    """Processors in this process' mask; a container or taskset may allow fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _list_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process' group and of those around it, as far as they can be seen from here."""
    own = {
        name: path
        for line in _read(root / "proc/self/cgroup").splitlines()
        for _, names, path in [line.split(":", 2)]
        for name in names.split(",")  # the one of version 2 has no name
    }
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mounted, _, system = line.partition(" - ")
        kind, _, options = [*system.split(" "), "", ""][:3]
        name = "" if kind == "cgroup2" else controller
        if name not in own or not (kind == "cgroup2" or (kind == "cgroup" and controller in options.split(","))):
            continue
        visible, point = mounted.split(" ")[3:5]
        path = PurePosixPath(own[name])
        # A container often sees its own group as the top, whatever the name of it is outside.
        inside = path.relative_to(visible) if path.is_relative_to(visible) and ".." not in path.parts else ""
        below = PurePosixPath(point.lstrip("/")) / inside
        yield from (root / folder for folder in (below, *below.parents) if folder.is_relative_to(point.lstrip("/")))


def _find_cpus(read: _Read) -> float | None:
    """Processors' worth of time that a group gets."""
    quota, period = [*read("cpu.max").split(), "", ""][:2]
    quota, period = quota or read("cpu.cfs_quota_us"), period or read("cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):  # "max", "-1", or no such file
        return None
    return int(quota) / int(period)


def _find_memory(read: _Read) -> tuple[int, int] | None:
    """(limit of a group, bytes of it that are left); files that were read and can be dropped count as left."""
    limit = read("memory.max") or read("memory.limit_in_bytes")
    used = read("memory.current") or read("memory.usage_in_bytes")
    if not limit.isdecimal() or int(limit) >= 1 << 60:  # "max", no such file, or version 1's way to say "no limit"
        return None
    figures = dict(pair for line in read("memory.stat").splitlines() if len(pair := line.split()) == 2)
    cached = figures.get("total_inactive_file") or figures.get("inactive_file", "0")
    return int(limit), max(int(limit) - int(used or 0) + int(cached), 0)


def _count_cores(root: Path) -> int:
    """Cores of the machine, each with all its hyperthreads once, as llama.cpp counts them for its threads."""
    found = (root / "sys/devices/system/cpu").glob("cpu*/topology/thread_siblings")
    return len({text for path in found if (text := _read(path))}) or os.cpu_count() or 1


def _reader(folder: Path) -> _Read:
    return lambda name: _read(folder / name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
