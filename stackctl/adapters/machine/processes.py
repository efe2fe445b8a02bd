"""Facts of processes of this machine, from /proc; where there is no /proc, nothing is known. Reads only."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.machine.commands import TIMED_OUT
from stackctl.adapters.machine.host import find_nvidia_smi
from stackctl.core.machine.gpu import NVIDIA_LIST, NVIDIA_PROCESSES, GpuMemory, explain_smi_failure, parse_gpu_processes

if TYPE_CHECKING:
    from stackctl.core.stack.runtime import CompletedCommand

NVIDIA_TIMEOUT_S = 5.0


def list_ancestors(pid: int) -> tuple[int, ...]:
    """Process ids from a process's parent up to the first."""
    found: list[int] = []
    while pid > 1 and len(found) < 64 and (fields := _read_stat(pid)):
        pid = int(fields[1])
        found.append(pid)
    return tuple(found)


def is_frozen(pid: int) -> bool:
    """Whether a process was stopped by a signal (Ctrl-Z, ``kill -STOP``) and waits to be let go on."""
    return _read_stat(pid)[:1] == ["T"]


def _read_stat(pid: int) -> list[str]:
    """State, parent and what follows; empty when the process is gone or there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The name in brackets may hold spaces and brackets of its own; the fields follow the last one.
    return text.rsplit(")", 1)[-1].split()


def load_resident_bytes(pid: int) -> int | None:
    """Bytes of memory that a process and those below it hold, mapped files included; ``None`` when it cannot be read.

    The first process of a container is an init, and the service is its child.
    """
    own = _read_resident_pages(pid)
    if own is None:
        return None
    pages, children, waiting = own, _list_children(), [pid]
    while waiting:
        below = children.pop(waiting.pop(), [])
        pages += sum(_read_resident_pages(child) or 0 for child in below)
        waiting += below
    return pages * os.sysconf("SC_PAGE_SIZE")


def _list_children() -> dict[int, list[int]]:
    """The processes of this machine by their parent's id; each process is looked at once."""
    found: dict[int, list[int]] = {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
        if fields := _read_stat(pid):
            found.setdefault(int(fields[1]), []).append(pid)
    return found


def _read_resident_pages(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def load_cpu_features() -> frozenset[str] | None:
    """The CPU's flags; ``None`` where they are not known or the CPU is no x86-64."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split()) or None


def load_cpu_model() -> str:
    """Name and flags of this CPU: what a program that was compiled for it may count on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    facts = ("model name", "flags", "CPU implementer", "CPU part", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(facts)})) or platform.machine()


def load_gpu_memory(
    run: Callable[[Sequence[str], float], CompletedCommand], find_program: Callable[[str], str | None]
) -> GpuMemory:
    """What the NVIDIA driver says of the processes that hold its memory, or why it says nothing."""
    program = find_nvidia_smi(find_program)
    if program is None:
        return GpuMemory(problem="nvidia-smi is no longer there")
    done = run((program, *NVIDIA_PROCESSES[1:]), NVIDIA_TIMEOUT_S)
    if done.code == 0:
        return GpuMemory(parse_gpu_processes(done.stdout))
    # Some drivers list GPUs and not processes, and a busy machine may be slow: neither is a lost GPU.
    listing = run((program, *NVIDIA_LIST[1:]), NVIDIA_TIMEOUT_S)
    if listing.code == 0 or TIMED_OUT in (done.code, listing.code):
        return GpuMemory(answered=False)
    said = f"{listing.stdout}\n{listing.stderr}".strip()
    ended = f"nvidia-smi ended with code {listing.code}"
    return GpuMemory(problem=explain_smi_failure(said) or next(iter(said.splitlines()), ended))
