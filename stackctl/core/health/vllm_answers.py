"""What vLLM's answers say of its model, its context and its GPU, judged to results. Pure.

It has no ``/props``: ``/v1/models`` names what it serves, from where, with which context. Its log is no proof of a GPU;
the driver's count of what its processes hold is, and a build of it for CPUs cannot use a GPU at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from stackctl.core.health.gpu_proof import GpuFacts
from stackctl.core.health.probes import ProbeResult, Status, read_json
from stackctl.core.models.served import ServedModel
from stackctl.core.stack.runtime import Answer

_GIB: Final = 1 << 30


def judge_vllm_model(model: ServedModel, answer: Answer) -> tuple[ProbeResult, ProbeResult]:
    """Judge what vLLM lists (``/v1/models``), its folder and its context, against what was configured."""
    name = model.served_name
    body = read_json(answer) if answer.status == 200 else None
    if body is None:
        detail = f"/v1/models did not answer ({answer.error or answer.status})"
        skipped = Status.LOADING if answer.status == 503 else Status.SKIPPED
        return ProbeResult("model", name, skipped, detail), ProbeResult("context", name, skipped, detail)
    entry = _find_entry(body, name)
    if entry is None:
        detail = f"'{name}' is not listed by the engine"
        result = ProbeResult("model", name, Status.FAILED, detail, _restart(model), answer.elapsed_s)
        return result, ProbeResult("context", name, Status.SKIPPED, detail)
    return _judge_folder(model, entry, answer.elapsed_s), _judge_length(model, entry)


def judge_vllm_gpu(model: ServedModel, facts: GpuFacts, expected: str) -> ProbeResult:
    """Judge by the driver alone whether vLLM is on the GPU.

    Args:
        expected: kind of GPU that the stack was started with; ``none`` for the CPU.
    """
    name, held, hint = model.served_name, facts.held_bytes, _restart(model)
    if facts.memory and facts.memory.problem and expected != "none":
        message = f"the NVIDIA driver does not answer: {facts.memory.problem}"
        return ProbeResult("gpu", name, Status.FAILED, message, "repair the driver; run 'stackctl doctor'")
    if facts.container_problem:
        message = f"the container has lost its GPU: {facts.container_problem}"
        return ProbeResult("gpu", name, Status.FAILED, message, f"{hint}; docs/guides/gpu.md says how to keep it")
    weights = model.header.tensor_bytes
    if held and held >= weights // 2:
        detail = (
            f"vLLM holds {held / _GIB:.1f} GiB of GPU memory, which the driver counts; weights {weights / _GIB:.1f}"
        )
        return ProbeResult("gpu", name, Status.OK, detail)
    if expected == "none":
        return ProbeResult("gpu", name, Status.OK, "runs on the CPU; no GPU is expected")
    if held or (facts.counts_nothing and facts.memory and facts.memory.held):
        seen = f"{held / _GIB:.1f} GiB" if held else "no memory"
        message = f"a GPU is expected, and the driver counts {seen} for the engine; weights {weights / _GIB:.1f} GiB"
        return ProbeResult("gpu", name, Status.FAILED, message, f"{hint}, or run 'stackctl doctor'")
    message = "a GPU is expected, and no driver says what vLLM's processes hold"
    return ProbeResult("gpu", name, Status.WARNING, message, "run 'nvidia-smi' on this machine to see them")


def _find_entry(body: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    data = body.get("data")
    entries = data if isinstance(data, list) else []
    return next((item for item in entries if isinstance(item, Mapping) and item.get("id") == name), None)


def _judge_folder(model: ServedModel, entry: Mapping[str, Any], elapsed_s: float) -> ProbeResult:
    loaded, wanted = PurePosixPath(str(entry.get("root", ""))).name, PurePosixPath(model.path).name
    if loaded == wanted:
        return ProbeResult("model", model.served_name, Status.OK, loaded, elapsed_s=elapsed_s)
    detail = f"{loaded or 'no folder'} is loaded; configured is {wanted}"
    return ProbeResult("model", model.served_name, Status.FAILED, detail, _restart(model), elapsed_s)


def _judge_length(model: ServedModel, entry: Mapping[str, Any]) -> ProbeResult:
    length = entry.get("max_model_len")
    if length == model.context_length:
        detail = f"{length} tokens, {model.slots} requests at the same time"
        return ProbeResult("context", model.served_name, Status.OK, detail)
    detail = f"{length} tokens; configured is {model.context_length}"
    return ProbeResult("context", model.served_name, Status.FAILED, detail, _restart(model))


def _restart(model: ServedModel) -> str:
    return f"run 'stackctl restart {model.service}'"
