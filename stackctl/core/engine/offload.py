"""Whether a model runs on the GPU, from what llama.cpp logs while it loads.

In: the engine's log. Out: an ``OffloadReport`` and a finding. Pure. The lines are the library's own INFO
lines; since 2026 the server prints them only at verbosity 4 (``LLAMA_ARG_LOG_VERBOSITY=4``). Examples:
``load_tensors: offloaded 33/33 layers to GPU``, ``CUDA0 model buffer size = 4095.05 MiB``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stackctl.errors import Finding, Severity

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
# A log may hold colours and several loads: fitting the model to memory loads it once without its data.
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_OFFLOADED: Final = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_BUFFER: Final = re.compile(r"(\S+)\s+(?:(?:model|KV|RS|compute|output)\s+)?buffer size\s*=\s*([\d.]+) MiB")
_DEVICE: Final = re.compile(r"using device (\S+) \((.+?)\)(?: \([^)]*\))?(?: - (\d+) MiB free)?$", re.MULTILINE)
_GPU_BUFFER: Final = re.compile(r"(?:CUDA|ROCm|Vulkan|SYCL|Metal|MTL|MUSA|CANN|GPUOpenCL)\d*(?:_Split|_Mapped)?")


@dataclass(frozen=True, slots=True)
class OffloadReport:
    """What the last load of a model in a log says.

    Attributes:
        offloaded: layers on a GPU, the output layer included; None when the log does not say, as with an engine built
            without GPU support.
        total: layers that could be on a GPU.
        buffers: bytes by the engine's name of the device (``CUDA0``, ``CPU_Mapped``), all buffers together.
        devices: the driver's name of each device, by the engine's name (``CUDA0``: ``NVIDIA H200``).
    """

    offloaded: int | None
    total: int
    buffers: dict[str, int]
    devices: dict[str, str]

    @property
    def gpu_bytes(self) -> int:
        """Bytes of memory held on GPUs."""
        return sum(size for name, size in self.buffers.items() if _GPU_BUFFER.fullmatch(name))

    @property
    def has_evidence(self) -> bool:
        """Whether the log says where the model is."""
        return self.offloaded is not None or bool(self.buffers)

    @property
    def is_on_gpu(self) -> bool:
        """Whether at least one layer is on a GPU."""
        return bool(self.offloaded) and self.gpu_bytes > 0


def parse_offload(log: str) -> OffloadReport:
    """Read the last load of a model in an engine's log."""
    text = _COLOUR.sub("", log)
    lines = text.splitlines()
    loads = [index for index, line in enumerate(lines) if "loading model tensors" in line]
    counts = [index for index, line in enumerate(lines) if _OFFLOADED.search(line)]
    # Buffers follow the count of layers; without one (no GPU support) they follow the start of the load.
    start = max([*loads[-1:], *counts[-1:]], default=0)
    buffers: dict[str, int] = {}
    for line in lines[start:]:
        if match := _BUFFER.search(line):
            buffers[match[1]] = buffers.get(match[1], 0) + round(float(match[2]) * _MIB)
    last = _OFFLOADED.search(lines[counts[-1]]) if counts else None
    return OffloadReport(
        offloaded=int(last[1]) if last else None,
        total=int(last[2]) if last else 0,
        buffers=buffers,
        devices={match[1]: match[2] for match in _DEVICE.finditer(text)},
    )


def check_offload(subject: str, report: OffloadReport, *, expects_gpu: bool, held_bytes: int | None = None) -> Finding:
    """Say where a model runs, and whether that is where it should.

    Args:
        subject: served name of the model.
        expects_gpu: whether a GPU was chosen for the model.
        held_bytes: memory that the driver says the engine holds; None when the driver was not asked.
    """
    if not expects_gpu:
        return Finding(subject, "runs on the CPU, no GPU was chosen", severity=Severity.OK)
    if not report.has_evidence:
        message = "a GPU is expected, and the engine's log does not say where the model is"
        return Finding(subject, message, "restart it with LLAMA_ARG_LOG_VERBOSITY=4", Severity.WARNING)
    if not report.is_on_gpu:
        seen = f"{report.offloaded or 0} of {report.total} layers" if report.total else "no layers"
        message = f"a GPU is expected, but {seen} are on it: the model runs on the CPU"
        return Finding(subject, message, "run 'stackctl doctor', or set STACK_GPU=none to accept the CPU")
    names = ", ".join(f"{key} ({name})" for key, name in sorted(report.devices.items())) or "the GPU"
    seen = f"{report.offloaded} of {report.total} layers on {names}, {report.gpu_bytes / _GIB:.1f} GiB"
    if held_bytes is not None and held_bytes < report.gpu_bytes // 2:
        message = f"{seen} by its log, but the driver counts only {held_bytes / _GIB:.1f} GiB"
        return Finding(subject, message, "restart the service: the GPU may have been lost", Severity.WARNING)
    if report.offloaded is not None and report.offloaded < report.total:
        hint = "lower CONTEXT_LENGTH or INFERENCE_SLOTS, or take a smaller quantisation"
        return Finding(subject, f"{seen}; the other layers run on the CPU", hint, Severity.WARNING)
    return Finding(subject, seen, severity=Severity.OK)
