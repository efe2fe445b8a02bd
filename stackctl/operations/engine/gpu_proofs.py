"""Keep what each start of an engine showed about its GPU, and find it again: small JSON files in the site's state.

In: an ``Engine`` and its state. Out: ``GpuFacts``. Does I/O through its effects. The engine's log says where the model
is only while it loads, and a busy log turns over in minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackctl.core.engine.offload import parse_offload
from stackctl.core.health.gpu_proof import GpuFacts, GpuProof, parse_proof
from stackctl.core.machine.gpu import GpuMemory
from stackctl.core.stack.runtime import ServiceState
from stackctl.core.stack.stack import Service
from stackctl.operations.effects import Effects, Paths, Runtime


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine that a GPU is expected for.

    Attributes:
        gpu: kind of GPU: "nvidia", "amd" or "vulkan".
    """

    runtime: Runtime
    service: Service
    state: ServiceState
    gpu: str


def keep_proof(effects: Effects, engine: Engine) -> GpuFacts:
    """Read the proof of the start that runs now, once it is ready, and keep it; a kept proof is not read again."""
    pid = engine.state.pid
    memory = (
        effects.machine.load_gpu_memory().gather(pid, effects.machine.list_ancestors)
        if engine.gpu == "nvidia"
        else None
    )
    kept = _load(effects, engine.service.name)
    if kept and kept.start == engine.state.start:
        return GpuFacts(kept, None, memory, pid)
    proof = _read(engine, memory)
    if proof:
        effects.files.save_text(_find_file(effects.paths, engine.service.name), proof.render_text(), 0o600)
    return GpuFacts(proof, kept, memory, pid)


def _read(engine: Engine, memory: GpuMemory | None) -> GpuProof | None:
    report = parse_offload(engine.runtime.read_start_log(engine.state))
    held = memory.held.get(engine.state.pid) or None if memory else None
    return GpuProof(engine.state.start, report, held) if report.has_evidence and engine.state.start else None


def _load(effects: Effects, service: str) -> GpuProof | None:
    return parse_proof(effects.files.load_text(_find_file(effects.paths, service)) or "")


def _find_file(paths: Paths, service: str) -> Path:
    return paths.state_dir / "gpu-proofs" / f"{service}.json"
