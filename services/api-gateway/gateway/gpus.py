"""Tell Prometheus which GPUs answer: ``python -m gateway.gpus``. A program beside the gateway, in its environment.

Does I/O: listens, and at each scrape asks NVIDIA's driver with ``nvidia-smi`` and reads what AMD's driver shows in
``/sys``. A driver that does not answer has no GPUs, which is what an alert is for.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily

# A driver that wakes a GPU takes 3 s; Prometheus waits for 10.
_ANSWER_S = 8.0
_MIB = 1 << 20
_AMD = "0x1002"
_QUERY = (
    "--query-gpu=uuid,name,memory.used,memory.total,utilization.gpu,temperature.gpu",
    "--format=csv,noheader,nounits",
)
_PORT_TAKEN = 5


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU; ``busy`` from 0 to 1, temperature in degrees Celsius, None for what its driver does not say."""

    id: str
    name: str
    memory_used_bytes: float | None
    memory_bytes: float | None
    busy: float | None
    celsius: float | None = None


def parse_nvidia(text: str) -> list[GpuReading]:
    """What ``nvidia-smi`` prints, a row for each GPU; other lines are none."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 6 or not cells[0].startswith("GPU-"):
            continue
        used, size, percent, celsius = map(_parse_number, cells[2:])
        found.append(
            GpuReading(cells[0], cells[1], _scale(used, _MIB), _scale(size, _MIB), _scale(percent, 0.01), celsius)
        )
    return found


def _parse_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A]
        return None


def _scale(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def read_nvidia() -> list[GpuReading]:
    """The GPUs that NVIDIA's driver answers for."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_nvidia(done.stdout) if done.returncode == 0 else []


def read_amd(root: Path = Path("/sys/class/drm")) -> list[GpuReading]:
    """The GPUs of AMD's driver."""
    found = []
    for device in sorted(root.glob("card[0-9]*/device")):
        if _read(device / "vendor") == _AMD and (size := _parse_number(_read(device / "mem_info_vram_total"))):
            busy = _parse_number(_read(device / "gpu_busy_percent"))
            used = _parse_number(_read(device / "mem_info_vram_used"))
            card = device.parent.name
            found.append(GpuReading(card, card, used, size, _scale(busy, 0.01)))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


class GpuCollector:
    """Asks the drivers at each scrape."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The number of GPUs, and how busy each is."""
        gpus = [*read_nvidia(), *read_amd()]
        yield GaugeMetricFamily("stack_gpus", "GPUs whose driver answers.", len(gpus))
        for name, text, attribute in (
            ("stack_gpu_memory_used_bytes", "Memory in use.", "memory_used_bytes"),
            ("stack_gpu_memory_bytes", "All memory.", "memory_bytes"),
            ("stack_gpu_busy_ratio", "Share of the last moment in which it computed.", "busy"),
            ("stack_gpu_temperature_celsius", "Temperature.", "celsius"),
        ):
            family = GaugeMetricFamily(name, text, labels=("gpu", "name"))
            for gpu in gpus:
                if (value := getattr(gpu, attribute)) is not None:
                    family.add_metric((gpu.id, gpu.name), value)
            yield family


def main() -> int:
    """Listen until a signal arrives."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    registry = CollectorRegistry()
    registry.register(GpuCollector())
    address, port = os.environ["GPU_METRICS_ADDRESS"], int(os.environ["GPU_METRICS_PORT"])
    try:
        start_http_server(port, address, registry)
    except OSError as error:
        print(f"error: cannot listen on {address}:{port}: {error.strerror}", file=sys.stderr)
        return _PORT_TAKEN
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
