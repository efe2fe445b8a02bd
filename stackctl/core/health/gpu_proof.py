"""The proof that a model runs on the GPU: what the log of its start says, and what the driver says now. Pure.

In: the engine's log and the driver's list of processes. Out: a ``ProbeResult``. The engine says where its model is only
while it loads, so that is read once, when it is ready, and kept with the identity of that start. The driver's count of
the process's memory can be asked again at any time, and is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from stackctl.core.engine.offload import OffloadReport, check_offload
from stackctl.core.health.probes import ProbeResult, Status
from stackctl.core.machine.gpu import GpuMemory
from stackctl.errors import Severity

_GIB: Final = 1 << 30
_STATUS: Final = {Severity.ERROR: Status.FAILED, Severity.WARNING: Status.WARNING}


@dataclass(frozen=True, slots=True)
class GpuProof:
    """What one start of an engine showed when it was ready.

    Attributes:
        start: identity of that start, as ``ServiceState.start`` has it.
        report: where the log of that start says that the model is.
        held_bytes: bytes that the driver counted for the engine; ``None`` where the driver counts no process.
    """

    start: str
    report: OffloadReport
    held_bytes: int | None = None

    def render_text(self) -> str:
        """The proof as JSON, which ``parse_proof`` reads."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def parse_proof(text: str) -> GpuProof | None:
    """Read a kept proof; ``None`` for any other text."""
    try:
        values: dict[str, Any] = json.loads(text)
        report = values["report"]
        offloaded, held = report["offloaded"], values["held_bytes"]
        return GpuProof(
            start=str(values["start"]),
            report=OffloadReport(
                offloaded=None if offloaded is None else int(offloaded),
                total=int(report["total"]),
                buffers={str(name): int(size) for name, size in report["buffers"].items()},
                devices={str(name): str(title) for name, title in report["devices"].items()},
            ),
            held_bytes=None if held is None else int(held),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What is known of one engine's place on a GPU.

    Attributes:
        proof: proof of the start that runs now; ``None`` when its log could not be read.
        earlier: proof of a start before this one; tells whether the driver counts processes on this machine at all.
        memory: the driver's count for all processes now; ``None`` where no driver of this kind can be asked.
        pid: process id of the engine; 0 when it is not known.
        container_problem: what the engine's container said when it was asked for its GPU; empty when it has its GPU.
    """

    proof: GpuProof | None
    earlier: GpuProof | None = None
    memory: GpuMemory | None = None
    pid: int = 0
    container_problem: str = ""

    @property
    def held_bytes(self) -> int | None:
        """Bytes that the driver counts for the engine now; ``None`` when it counts none for it, or does not tell."""
        held: Mapping[int, int] = self.memory.held if self.memory else {}
        return held.get(self.pid) or None

    @property
    def counts_nothing(self) -> bool:
        """Whether the driver listed processes, and the engine is not among them."""
        return bool(self.memory and self.memory.answered and self.pid and self.pid not in self.memory.held)


def judge_gpu(served_name: str, service: str, facts: GpuFacts) -> ProbeResult:
    """Fail when something says that the model is not on the GPU; warn when only part of the proof can be had."""
    restart = f"run 'stackctl restart {service}'"
    if facts.memory and facts.memory.problem:
        message = f"the NVIDIA driver does not answer: {facts.memory.problem}"
        return ProbeResult("gpu", served_name, Status.FAILED, message, "repair the driver; run 'stackctl doctor'")
    if facts.container_problem:
        message = f"the container has lost its GPU: {facts.container_problem}"
        hint = f"{restart}; docs/guides/gpu.md says how to keep it"
        return ProbeResult("gpu", served_name, Status.FAILED, message, hint)
    if facts.proof is None or not facts.proof.report.has_evidence:
        return _judge_without_log(served_name, restart, facts)
    held = facts.held_bytes
    finding = check_offload(served_name, facts.proof.report, expects_gpu=True, held_bytes=held)
    wanted = facts.proof.report.gpu_bytes // 2
    is_less = facts.counts_nothing or (held is not None and held < wanted)
    if finding.severity is not Severity.ERROR and is_less and (facts.proof.held_bytes or 0) >= wanted > 0:
        message = f"{_describe_start(facts.proof)}; now the driver counts {_write_size(held)}: the GPU was lost"
        return ProbeResult("gpu", served_name, Status.FAILED, message, restart)
    driver = f"; the driver counts {_write_size(held)}" if held and "the driver counts" not in finding.message else ""
    status = _STATUS.get(finding.severity, Status.OK)
    return ProbeResult("gpu", served_name, status, finding.message + driver, finding.hint)


def _judge_without_log(served_name: str, restart: str, facts: GpuFacts) -> ProbeResult:
    """Judge by the driver alone, because the log of this start no longer says where the model is."""
    message = "the engine's log no longer says where this start put the model"
    if facts.held_bytes:
        text = f"{message}; the driver counts {_write_size(facts.held_bytes)}"
        return ProbeResult("gpu", served_name, Status.WARNING, text, f"{restart} to have it read again")
    counted_before = bool(facts.earlier and facts.earlier.held_bytes)
    if facts.counts_nothing and facts.memory and (facts.memory.held or counted_before):
        text = "a GPU is expected, and the driver counts no memory for the engine: the model runs on the CPU"
        return ProbeResult("gpu", served_name, Status.FAILED, text, f"{restart}, or run 'stackctl doctor'")
    text = f"{message}, and no driver says what it holds"
    return ProbeResult("gpu", served_name, Status.WARNING, text, f"{restart} to have it read again")


def _describe_start(proof: GpuProof) -> str:
    report = proof.report
    return (
        f"at its start {report.offloaded} of {report.total} layers and {_write_size(proof.held_bytes)} were on the GPU"
    )


def _write_size(size_bytes: int | None) -> str:
    return f"{size_bytes / _GIB:.1f} GiB" if size_bytes else "nothing"
