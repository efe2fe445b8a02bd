"""Which catalog entries fit a machine, and the setting lines that serve them. Pure.

In: the catalog, the device that the engine computes on, slots and KV cache type as configured. Out: one ``Candidate``
for each entry and one ``Plan`` for each use. The memory model is ``fit.py``'s, the one that ``doctor`` uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.host import Host
from stackctl.core.models.catalog import Catalog, CatalogModel, Use
from stackctl.core.models.fit import GATEWAY_BYTES, GIB, GPU_CONTEXT_BYTES, MAX_DEFAULT_CONTEXT, Device, Fit, build_fit

# Less than this and an editor's prompt does not fit.
MINIMUM_CONTEXT: Final = 4096
EMBEDDING_CONTEXT: Final = 2048
# Weights that a CPU still reads a few times a second.
CPU_WEIGHTS_BYTES: Final = 6_000_000_000
_SETTINGS: Final[dict[Use, str]] = {"chat": "CHAT_MODEL", "code": "CODE_MODEL"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One catalog entry on one device.

    Attributes:
        fit: memory with the most context and slots that fit; with the least where nothing fits; None while the entry's
            size or shape is not verified.
        note: why the entry may be a poor choice although it fits, or why it cannot be judged.
    """

    name: str
    model: CatalogModel
    fit: Fit | None
    note: str = ""

    @property
    def fits(self) -> bool:
        """Whether the entry can be started."""
        return self.fit is not None and self.fit.fits


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve for one use, and the lines that do so.

    Attributes:
        names: catalog names to pull.
        env_lines: lines of `.env`.
        stack_lines: lines of `stack.yml`, for an embedding model beside it; it needs less context than the other.
    """

    use: str
    names: tuple[str, ...]
    env_lines: tuple[str, ...]
    stack_lines: tuple[str, ...] = ()


def measure_device(host: Host, gpus: Sequence[Gpu]) -> tuple[str, Device]:
    """Where the engine computes and what is free there, in words and as a figure; never more than ``doctor`` counts.

    Args:
        gpus: GPUs that the engine may use; it spreads a model's layers over all of them. None is the CPU.
    """
    memory = max(host.memory_available_bytes - GATEWAY_BYTES, 0)
    if not gpus:
        return f"this machine's memory, {_write_gib(memory)} free beside the gateway", Device(memory)
    names = " and ".join(gpu.name for gpu in gpus)
    if not any(gpu.memory_total_bytes or gpu.slices for gpu in gpus):
        # Chips whose GPU has no memory of its own give no figure.
        return f"{names} on this machine's memory, {_write_gib(memory)} free", Device(memory, is_gpu=True)
    if any(gpu.slices for gpu in gpus):  # a process gets one slice, however many there are
        free = max(gpu.memory_free_bytes for gpu in gpus)
    else:
        # The driver's own share, which the memory model counts once, is taken on each.
        free = sum(gpu.memory_free_bytes for gpu in gpus) - (len(gpus) - 1) * GPU_CONTEXT_BYTES
    together = " together" if len(gpus) > 1 else ""
    return f"{names}, {_write_gib(free)} free{together}", Device(max(free, 0), is_gpu=True)


def _write_gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def list_candidates(catalog: Catalog, device: Device, slots: int, kv_cache_type: str) -> tuple[Candidate, ...]:
    """Judge every entry but the demo, in the catalog's order."""
    return tuple(
        _judge(name, model, device, slots, kv_cache_type)
        for name, model in catalog.models.items()
        if model.use != "demo"
    )


def build_plans(candidates: tuple[Candidate, ...], device: Device, slots: int, kv_cache_type: str) -> tuple[Plan, ...]:
    """The largest entry that fits for each use, with an embedding model beside it where there is room left."""
    plans = []
    for use, setting in _SETTINGS.items():
        fitting = [item for item in candidates if item.model.use == use and item.fits and not item.note]
        if not fitting:
            continue
        best = max(fitting, key=lambda item: item.model.size_bytes)
        assert best.fit is not None
        lines = [f"{setting}={best.model.file}"]
        if best.fit.slots != slots:
            lines.append(f"INFERENCE_SLOTS={best.fit.slots}")
        if best.fit.context_length < MAX_DEFAULT_CONTEXT:
            lines.append(f"CONTEXT_LENGTH={best.fit.context_length}")
        left = Device(device.available_bytes - best.fit.needed_bytes, device.is_gpu)
        beside = _find_embedding(candidates, left, kv_cache_type)
        names = (best.name, beside.name) if beside else (best.name,)
        plans.append(Plan(use, names, tuple(lines), _write_embedding(beside) if beside else ()))
    return tuple(plans)


def _judge(name: str, model: CatalogModel, device: Device, slots: int, kv_cache_type: str) -> Candidate:
    header = model.build_header()
    if header is None:
        return Candidate(name, model, None, "its size or shape is not verified")
    contexts = (EMBEDDING_CONTEXT,) if model.use == "embedding" else (MAX_DEFAULT_CONTEXT, MINIMUM_CONTEXT)
    choices = [
        build_fit(header, min(context, header.context_length), count, device, kv_cache_type)
        for context in contexts
        for count in _halve(1 if model.use == "embedding" else slots)
    ]
    fit = next((choice for choice in choices if choice.fits), choices[-1])
    is_slow = not device.is_gpu and model.size_bytes > CPU_WEIGHTS_BYTES
    return Candidate(name, model, fit, "slow on a CPU" if fit.fits and is_slow else "")


def _halve(slots: int) -> tuple[int, ...]:
    """The numbers of slots to try, each half of the one before: 4, 2, 1."""
    counts = [slots]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return tuple(counts)


def _find_embedding(candidates: tuple[Candidate, ...], left: Device, kv_cache_type: str) -> Candidate | None:
    found = [
        _judge(item.name, item.model, left, 1, kv_cache_type) for item in candidates if item.model.use == "embedding"
    ]
    return max((item for item in found if item.fits), key=lambda item: item.model.size_bytes, default=None)


def _write_embedding(item: Candidate) -> tuple[str, ...]:
    return (
        "models:",
        f"  local-embed: {{file: {item.model.file}, mode: embedding, context_length: {EMBEDDING_CONTEXT}, slots: 1}}",
    )
