"""Whether the models are whole, readable, on a fast disk, and fit into memory together.

In: a ``DoctorInput``. Out: findings, and the context that would fit. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stackctl.core.health.doctor_input import DoctorInput, ModelEntry
from stackctl.core.health.doctor_vllm import check_vllm_memory, count_vllm_bytes, list_vllm_entries
from stackctl.core.models.files import build_model_header, check_model_files
from stackctl.core.models.fit import GATEWAY_BYTES, GIB, MIB, Device, Fit, build_fit, default_context
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.kv_cache import CONTEXT_STEP
from stackctl.core.models.served import NO_TOOLS
from stackctl.errors import Finding, Severity

_WINDOWS_FILE_SYSTEMS: Final = frozenset({"9p", "drvfs", "v9fs"})
_WINDOWS_PATH: Final = re.compile(r"/mnt/[a-z]/")


@dataclass(frozen=True, slots=True)
class _Load:
    """A model whose header could be read."""

    entry: ModelEntry
    header: GGUFHeader


def check_models(facts: DoctorInput) -> tuple[Finding, ...]:
    """Check the files of each model, then the memory for all together on each device."""
    findings: list[Finding] = []
    for entry in facts.models:
        found = check_model_files(entry.setting, entry.path, entry.files, entry.mode, by_vllm=entry.vllm is not None)
        findings.extend(found)
        findings.extend(_check_place(entry, facts))
        header = build_model_header(entry.files)
        if header is not None and not any(finding.severity is Severity.ERROR for finding in found):
            findings.append(_render_model(entry, header))
    return (*findings, *check_memory(facts))


def _render_model(entry: ModelEntry, header: GGUFHeader) -> Finding:
    gib, mib = header.size_bytes / GIB, header.size_bytes / MIB
    size = f"{gib:.1f} GiB" if gib >= 1 else f"{mib:.0f} MiB"
    kind = " ".join(part for part in (header.architecture, header.quantisation) if part)
    tools = f"; {NO_TOOLS}" if entry.mode == "chat" and entry.tools is False else ""
    message = f"{entry.served_name}: {kind}, {size}, trained for {header.context_length} tokens{tools}"
    return Finding(entry.setting, message, severity=Severity.OK, file=entry.path)


def _check_place(entry: ModelEntry, facts: DoctorInput) -> list[Finding]:
    """Check where the file is and who may read it."""
    findings = []
    disk = facts.host.disks.get(entry.path)
    on_windows = bool(_WINDOWS_PATH.match(entry.path)) or (
        disk is not None and disk.file_system in _WINDOWS_FILE_SYSTEMS
    )
    if facts.host.is_wsl2 and on_windows:
        message = "the model is on a Windows drive, which WSL2 reads many times slower than its own disk"
        hint = "copy it into the Linux file system, for instance below your home folder"
        findings.append(Finding(entry.setting, message, hint, Severity.WARNING, entry.path))
    return [*findings, *(_check_readable(entry, facts) if facts.runtime == "compose" else ())]


def _check_readable(entry: ModelEntry, facts: DoctorInput) -> Iterator[Finding]:
    """Whether the engine's container, which has a user of its own, may read every file of the model."""
    user_id, group_id = facts.container_user
    for file in entry.permissions:
        if not file.is_readable_by(user_id, group_id):
            owner = f"mode {(file.mode or 0) & 0o777:04o}, owner {file.user_id}:{file.group_id}"
            message = f"the container's user {user_id}:{group_id} may not read the file ({owner})"
            hint = f"chmod o+r '{file.path}', or chown {user_id} '{file.path}' where others must not read it"
            yield Finding(entry.setting, message, hint, file=file.path)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What the models of one device take together, in bytes.

    Attributes:
        used_bytes: what they hold.
        needed_bytes: what must be free for them: also the largest of their margins.
        available_bytes: what is free there for them; None where nobody knows.
    """

    name: str
    used_bytes: int
    needed_bytes: int
    available_bytes: int | None


def measure_memory(facts: DoctorInput) -> tuple[MemoryUse, ...]:
    """What the models take on the GPU and in the host's memory, each where there are some; without those of vLLM."""
    on_gpu, on_host = _split_loads(facts)
    uses = []
    for name, loads, device in (
        ("GPU memory", on_gpu, _gpu_device(facts)),
        ("memory", on_host, _host_device(facts)),
    ):
        fits = _build_fits(loads, device, facts)
        if fits:
            used = sum(fit.used_bytes for fit in fits)
            is_known = device.is_gpu or facts.host.memory_total_bytes
            uses.append(MemoryUse(name, used, _sum_up(fits), device.available_bytes if is_known else None))
    return tuple(uses)


def check_memory(facts: DoctorInput) -> tuple[Finding, ...]:
    """Whether all models that could be read fit, on the GPU and in the host's memory."""
    on_gpu, on_host = _split_loads(facts)
    findings = [*check_vllm_memory(facts)]
    if on_gpu:
        findings.append(_check_device("GPU memory", on_gpu, _gpu_device(facts), facts))
    if on_host and facts.host.memory_total_bytes:
        findings.append(_check_device("memory", on_host, _host_device(facts), facts))
    return tuple(findings)


def build_context_advice(facts: DoctorInput) -> dict[str, int]:
    """Settings to change, each with tokens per slot that make every model fit; empty when all fit as they are."""
    advice: dict[str, int] = {}
    on_gpu, on_host = _split_loads(facts)
    for loads, device in ((on_gpu, _gpu_device(facts)), (on_host, _host_device(facts))):
        if not loads or _sum_up(_build_fits(loads, device, facts)) <= device.available_bytes:
            continue
        largest = _find_shared_context(loads, device, facts)
        for load in loads if largest else ():
            if _context(load) > largest:
                setting = load.entry.context_setting
                advice[setting] = min(largest, advice.get(setting, largest))
    return advice


def _find_shared_context(loads: Sequence[_Load], device: Device, facts: DoctorInput) -> int:
    """The largest context per slot with which all models fit side by side; 0 when none does.

    Each model gets at most the context that it was trained for, so one figure serves a long and a short one.
    """

    def fits(tokens: int) -> bool:
        capped = [replace(load, entry=replace(load.entry, context_length=tokens)) for load in loads]
        return _sum_up(_build_fits(capped, device, facts)) <= device.available_bytes

    low, high = 0, max(_limit_context(load.header) for load in loads) // CONTEXT_STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * CONTEXT_STEP) else (low, middle - 1)
    return low * CONTEXT_STEP


def _limit_context(header: GGUFHeader) -> int:
    """Tokens that a model may have at most."""
    return max(header.context_length, default_context(header), CONTEXT_STEP)


def _split_loads(facts: DoctorInput) -> tuple[list[_Load], list[_Load]]:
    """Readable models by where they go: those for the GPU, those for the host; not vLLM's, which take their share."""
    on_gpu: list[_Load] = []
    on_host: list[_Load] = []
    by_vllm = list_vllm_entries(facts)
    has_gpu = facts.gpu.value != "none" and any(gpu.memory_free_bytes for gpu in facts.select_gpus())
    for entry in facts.models:
        header = build_model_header(entry.files)
        if header is not None and entry not in by_vllm:
            (on_gpu if has_gpu and entry.gpu_layers != 0 else on_host).append(_Load(entry, header))
    return on_gpu, on_host


def _gpu_device(facts: DoctorInput) -> Device:
    free = sum(gpu.memory_free_bytes for gpu in facts.select_gpus())
    return Device(max(free + facts.held_gpu_bytes - count_vllm_bytes(facts), 0), is_gpu=True)


def _host_device(facts: DoctorInput) -> Device:
    free = facts.host.memory_available_bytes + facts.held_memory_bytes - GATEWAY_BYTES
    return Device(max(free, 0))


def _context(load: _Load) -> int:
    """Tokens per slot that the engine will be given."""
    return load.entry.context_length or default_context(load.header)


def _build_fits(loads: Sequence[_Load], device: Device, facts: DoctorInput) -> list[Fit]:
    return [
        build_fit(
            load.header,
            min(_context(load), _limit_context(load.header)),
            load.entry.slots,
            replace(device, gpu_layers=load.entry.gpu_layers),
            facts.kv_cache_type,
        )
        for load in loads
    ]


def _sum_up(fits: Sequence[Fit]) -> int:
    """Bytes that must be free for all: what each uses, and the largest of their margins once."""
    return sum(fit.used_bytes for fit in fits) + max((fit.margin_bytes for fit in fits), default=0)


def _check_device(subject: str, loads: Sequence[_Load], device: Device, facts: DoctorInput) -> Finding:
    """One finding for all models of a device."""
    fits = _build_fits(loads, device, facts)
    needed, available = _sum_up(fits), device.available_bytes
    if len(fits) == 1:
        text = fits[0].render_text()
    else:
        parts = ", ".join(
            f"{load.entry.served_name} {fit.used_bytes / GIB:.1f}" for load, fit in zip(loads, fits, strict=True)
        )
        text = f"{needed / GIB:.1f} GiB needed ({parts}, margin) of {available / GIB:.1f} GiB"
    notes = "".join(f"; {note}" for note in dict.fromkeys(note for fit in fits for note in fit.notes))
    largest = _find_shared_context(loads, device, facts)
    if needed <= available:
        room = f"; up to {largest} tokens per slot would fit" if largest else ""
        return Finding(subject, f"{text}{room}{notes}", severity=Severity.OK)
    if largest:
        settings = " and ".join(dict.fromkeys(f"{load.entry.context_setting}={largest}" for load in loads))
        hint = f"set {settings} (the largest that fits), or fewer INFERENCE_SLOTS"
    else:
        hint = "use a smaller or more quantised model"
    # The engine moves layers to the CPU by itself unless their number is fixed, and it may start without
    # the margin; both are slow or fragile, neither is impossible.
    moves = device.is_gpu and all(load.entry.gpu_layers is None for load in loads)
    tight = sum(fit.used_bytes for fit in fits) <= available
    severity = Severity.WARNING if moves or tight else Severity.ERROR
    effect = "; some layers will run on the CPU" if moves else ""
    return Finding(subject, f"{text}{effect}{notes}", hint, severity)
