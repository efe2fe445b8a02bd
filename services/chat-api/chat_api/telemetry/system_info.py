"""What this machine has and what of it is taken. Does I/O: the kernel's figures, and its list of NVIDIA's GPUs."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_LIBRARIES = ("fastapi", "uvicorn", "aiohttp", "pydantic", "psutil")
_GPUS = Path("/proc/driver/nvidia/gpus")


class MachineReader:
    """Reads the figures; of the CPU, what was taken since the last reading."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        psutil.cpu_percent(None)
        self._process.cpu_percent(None)

    def describe_service(self, started: float, name: str, own_version: str) -> dict[str, Any]:
        """This process.

        Args:
            started: by the monotonic clock.
        """
        memory = self._process.memory_info()
        return {
            "name": name,
            "version": own_version,
            "python": platform.python_version(),
            "libraries": {library: version(library) for library in _LIBRARIES},
            "uptime_s": round(time.monotonic() - started, 3),
            "cpu_percent": self._process.cpu_percent(None),
            "memory_bytes": memory.rss,
        }

    def describe_machine(self) -> dict[str, Any]:
        """The machine, as far as this process sees it: in a container, the container's host."""
        memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
        return {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "uptime_s": round(time.time() - psutil.boot_time()),
            "cpu": {
                "cores": psutil.cpu_count(),
                "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
                "percent": psutil.cpu_percent(None),
                "load_1m": round(psutil.getloadavg()[0], 2),
            },
            "memory": {"total_bytes": memory.total, "available_bytes": memory.available, "percent": memory.percent},
            "disk": {"total_bytes": disk.total, "free_bytes": disk.free, "percent": disk.percent},
        }

    def list_gpus(self) -> list[dict[str, Any]]:
        """The GPUs that NVIDIA's driver shows to this process; none in a container without one."""
        try:
            files = sorted(_GPUS.glob("*/information"))
            return [_read_gpu(file.read_text(encoding="utf-8", errors="replace")) for file in files]
        except OSError:
            return []


def _read_gpu(text: str) -> dict[str, Any]:
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {"name": fields.get("Model", "").strip(), "bus": fields.get("Bus Location", "").strip()}
