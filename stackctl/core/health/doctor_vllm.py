"""Whether the models that vLLM serves on a GPU fit: into the share that it takes, and that share into the GPU. Pure.

In: a ``DoctorInput``. Out: findings. vLLM takes its whole share when it starts, whatever it needs, refuses when less is
free, and what the weights leave of the share is the KV cache of all requests together.
"""

from __future__ import annotations

from collections.abc import Sequence

from stackctl.core.health.doctor_input import DoctorInput, ModelEntry, VllmEntry
from stackctl.core.machine.gpu import Gpu
from stackctl.core.models.files import build_model_header
from stackctl.core.models.fit import GIB, default_context, estimate_vllm_bytes
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.kv_cache import CONTEXT_STEP, build_cache_cost
from stackctl.errors import Finding, Severity


def list_vllm_entries(facts: DoctorInput) -> tuple[ModelEntry, ...]:
    """The models that vLLM has on a GPU."""
    if facts.gpu.value == "none" or not facts.select_gpus():
        return ()
    return tuple(entry for entry in facts.models if entry.vllm)


def count_vllm_bytes(facts: DoctorInput) -> int:
    """Bytes of all GPUs together that vLLM takes and others cannot have."""
    return sum(
        sum(_count_share(gpu, entry.vllm) for gpu in _choose_gpus(facts, entry.vllm))
        for entry in list_vllm_entries(facts)
        if entry.vllm
    )


def check_vllm_memory(facts: DoctorInput) -> tuple[Finding, ...]:
    """One finding for each model, and one where the shares of all together are more than a GPU has."""
    findings = [_check_entry(facts, entry) for entry in list_vllm_entries(facts)]
    return tuple(finding for finding in (*findings, _check_shares(facts)) if finding is not None)


def _choose_gpus(facts: DoctorInput, vllm: VllmEntry) -> Sequence[Gpu]:
    return facts.select_gpus()[: vllm.gpus]


def _count_share(gpu: Gpu, vllm: VllmEntry | None) -> int:
    return int(gpu.memory_total_bytes * vllm.share) if vllm else 0


def _check_entry(facts: DoctorInput, entry: ModelEntry) -> Finding | None:
    header, vllm = build_model_header(entry.files), entry.vllm
    if header is None or vllm is None:
        return None
    name, place = entry.served_name, entry.setting.removesuffix(".file")
    gpus = _choose_gpus(facts, vllm)
    if len(gpus) < vllm.gpus:
        message = f"{name} is spread over {vllm.gpus} GPUs, of which {len(gpus)} can be used"
        return Finding("GPU memory", message, f"correct {place}.arguments or GPU_DEVICES")
    share = sum(_count_share(gpu, vllm) for gpu in gpus)
    free = sum(gpu.memory_free_bytes for gpu in gpus) + facts.held_gpu_bytes
    sentence = f"{name}: vLLM takes {share / GIB:.1f} GiB ({vllm.share:.0%} of {len(gpus)} GPU{'s' * (len(gpus) > 1)})"
    if share > free:
        message = f"{sentence}, and {free / GIB:.1f} GiB are free: it would refuse to start"
        total = sum(gpu.memory_total_bytes for gpu in gpus) or 1
        fitting = int(100 * free / total) / 100
        return Finding("GPU memory", message, f"set {place}.gpu_memory to {fitting:g} or less, or end what holds it")
    return _check_room(entry, header, sentence, share)


def _check_room(entry: ModelEntry, header: GGUFHeader, sentence: str, share: int) -> Finding:
    """Whether what the weights leave holds one whole context, without which vLLM ends, and one for every slot."""
    place = entry.setting.removesuffix(".file")
    context = entry.context_length or default_context(header)
    fixed = header.tensor_bytes + estimate_vllm_bytes(header, entry.slots)
    cost = build_cache_cost(header)
    one = cost.compute_bytes(context, 1)
    room = share - fixed
    used = f"weights {header.tensor_bytes / GIB:.1f}, buffers {(fixed - header.tensor_bytes) / GIB:.1f}"
    sentence = f"{sentence}: {used}, KV cache {max(room, 0) / GIB:.1f} GiB"
    if room < cost.compute_bytes(CONTEXT_STEP, 1):
        message = f"{sentence}, which holds no context"
        return Finding("GPU memory", message, "use a smaller or quantised model, or spread it over more GPUs")
    contexts = room // one if one else entry.slots
    if not contexts:
        largest = _find_context(header, room)
        message = f"{sentence}; one context of {context} tokens takes {one / GIB:.1f} GiB"
        return Finding("GPU memory", message, f"set {entry.context_setting}={largest} (the largest that fits)")
    if contexts < entry.slots:
        message = (
            f"{sentence}, room for {contexts} whole contexts of {context} tokens; {entry.slots} slots may share it"
        )
        hint = f"long requests wait for each other; set {place}.slots to {contexts} to know beforehand"
        return Finding("GPU memory", message, hint, Severity.WARNING)
    return Finding("GPU memory", f"{sentence}, room for {contexts} contexts of {context} tokens", severity=Severity.OK)


def _find_context(header: GGUFHeader, room: int) -> int:
    """The largest context of which one fits into the room, in whole steps."""
    cost = build_cache_cost(header)
    low, high = 0, max(header.context_length, CONTEXT_STEP) // CONTEXT_STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost.compute_bytes(middle * CONTEXT_STEP, 1) <= room else (low, middle - 1)
    return low * CONTEXT_STEP


def _check_shares(facts: DoctorInput) -> Finding | None:
    """Find shares that together are more than a GPU: each model alone would start, the last one would not."""
    entries = list_vllm_entries(facts)
    total = sum(entry.vllm.share for entry in entries if entry.vllm)
    if len(entries) < 2 or total <= 1 or len(facts.select_gpus()) > 1:
        return None
    named = ", ".join(f"{entry.served_name} {entry.vllm.share:.0%}" for entry in entries if entry.vllm)
    message = f"the shares that vLLM takes are more than one GPU has: {named}"
    return Finding("GPU memory", message, "lower gpu_memory of these models in stack.yml, together below 1")
