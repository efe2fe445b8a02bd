"""Facts of processes of this machine, from /proc; where there is none, nothing is known."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from stackctl.core.gpu import parse_gpu_processes
from stackctl.core.runtime import CompletedCommand


def list_ancestors(pid: int) -> tuple[int, ...]:
    """Process ids from a process's parent up to the first."""
    found: list[int] = []
    while pid > 1 and len(found) < 64:
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        # The name in brackets may hold spaces and brackets of its own; the fields follow the last one.
        pid = int(text.rsplit(")", 1)[-1].split()[1])
        found.append(pid)
    return tuple(found)


def load_resident_bytes(pid: int) -> int | None:
    """Memory that a process holds, mapped files included; ``None`` when it cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def load_cpu_features() -> frozenset[str] | None:
    """The CPU's flags; ``None`` where they are not known or this is no x86-64."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split()) or None


def load_gpu_processes(run: Callable[[Sequence[str], float], CompletedCommand]) -> dict[int, int]:
    """Process id to the GPU memory in bytes that the NVIDIA driver says it holds; empty where it says nothing."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    done = run(query, 5.0)
    return parse_gpu_processes(done.stdout) if done.code == 0 else {}
