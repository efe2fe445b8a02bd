"""The proof that a model runs on the GPU: the engine's own report and the driver's, judged. Pure."""

from __future__ import annotations

from stackctl.core.health import ProbeResult, Status
from stackctl.core.offload import check_offload, parse_offload
from stackctl.errors import Severity


def judge_gpu(served_name: str, log: str, held_bytes: int | None) -> ProbeResult:
    """Fail when a GPU is expected and the model is on the CPU, or nothing shows that it is on the GPU.

    Args:
        log: the engine's, from its start on.
        held_bytes: memory that the driver says the process holds; ``None`` when the driver does not say.
    """
    report = parse_offload(log)
    finding = check_offload(served_name, report, expects_gpu=True, held_bytes=held_bytes)
    proven = report.has_evidence and finding.severity is not Severity.ERROR
    driver = f"; the driver counts {held_bytes / 2**30:.1f} GiB" if held_bytes else ""
    return ProbeResult(
        "gpu", served_name, Status.OK if proven else Status.FAILED, finding.message + driver, finding.hint
    )
