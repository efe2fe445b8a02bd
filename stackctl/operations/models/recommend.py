"""What of the catalog this machine can serve, on the device that the engine will really compute on.

In: this machine, or the memory of a GPU. Out: a ``Recommendation``. Reads through its effects; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.core.engine.engines import can_use_gpu
from stackctl.core.machine.host import Host, choose_gpu, choose_runtime
from stackctl.core.machine.limits import Limits
from stackctl.core.models.fit import GIB, Device
from stackctl.core.models.recommend import Candidate, Plan, build_plans, list_candidates, measure_device
from stackctl.core.settings.settings import Settings
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects
from stackctl.operations.engine.engines import choose_compose_engine, choose_process_engine
from stackctl.operations.site.catalog import load_catalog
from stackctl.operations.site.load_settings import load_release, load_settings
from stackctl.operations.site.state import load_state


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What this machine can serve.

    Attributes:
        device: what the engine computes on, in words, with its memory.
        plans: the lines to write for each use; empty when nothing of the catalog fits.
    """

    device: str
    available_bytes: int
    candidates: tuple[Candidate, ...]
    plans: tuple[Plan, ...]


def recommend_models(effects: Effects, memory_gb: float | None = None) -> Recommendation:
    """Judge the catalog for this machine, or for a GPU with this much memory.

    Args:
        memory_gb: memory of the GPU in GiB, as cards are sold; None looks at this machine.
    """
    settings = load_settings(effects)[0].values
    title, device = _find_device(effects, settings) if memory_gb is None else _imagine_device(memory_gb)
    slots, kind = settings.inference_slots, settings.kv_cache_type
    candidates = list_candidates(load_catalog(effects), device, slots, kind)
    return Recommendation(title, device.available_bytes, candidates, build_plans(candidates, device, slots, kind))


def _imagine_device(memory_gb: float) -> tuple[str, Device]:
    return f"a GPU with {memory_gb:g} GB", Device(int(memory_gb * GIB), is_gpu=True)


def _find_device(effects: Effects, settings: Settings) -> tuple[str, Device]:
    """The GPUs that the engine will compute on, or this machine's memory, with what is free of it."""
    host = _load_host(effects, settings)
    kind = choose_gpu(host, settings.stack_gpu).value
    problem = _explain_unused(effects, settings, kind) if kind != "none" else ""
    title, device = measure_device(host, () if problem else host.select_gpus(kind, settings.gpu_devices))
    taken = (
        "the running stack's share counts as taken; --memory-gb asks for a size"
        if load_state(effects.files, effects.paths)
        else ""
    )
    notes = "; ".join(note for note in (problem, taken) if note)
    return f"{title} ({notes})" if notes else title, device


def _load_host(effects: Effects, settings: Settings) -> Host:
    """This machine as the stack may use it: processes share the limits of stackctl, containers do not."""
    host = effects.machine.load_host(False)
    # Docker is asked only where the answer counts: that takes 0.3 s.
    if host.limits == Limits() or _find_runtime(effects, settings, effects.machine.load_host(True)) == "compose":
        return host
    return host.bounded


def _find_runtime(effects: Effects, settings: Settings, host: Host) -> str:
    state = load_state(effects.files, effects.paths)
    try:
        return state.runtime if state else choose_runtime(host, settings.stack_runtime).value
    except ConfigError:  # for 'up' and 'doctor' to explain
        return settings.stack_runtime


def _explain_unused(effects: Effects, settings: Settings, kind: str) -> str:
    """Why the engine that would run here leaves the GPU alone; empty when it takes it."""
    runtime = _find_runtime(effects, settings, effects.machine.load_host(True))
    engine = choose_compose_engine(settings)
    if runtime != "compose":
        engine = choose_process_engine(effects, settings, load_release(effects)).form.engine
    if can_use_gpu(engine, runtime, kind):
        return ""
    return f"the engine {engine.name} of the {runtime} runtime leaves the GPU alone; 'stackctl doctor' says more"
