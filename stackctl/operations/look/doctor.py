"""Preflight: look at this machine and this site before anything is pulled, built or started.

In: effects. Out: findings. Reads through its effects; changes nothing, unless it is asked to set the context that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.connect.tools import TOOLS
from stackctl.core.engine.engines import LLAMA_CPP
from stackctl.core.engine.vllm import count_gpus
from stackctl.core.health.doctor import check_host
from stackctl.core.health.doctor_input import (
    AgentNeed,
    DiskNeed,
    DoctorInput,
    ImageFacts,
    ModelEntry,
    PortNeed,
    VllmEntry,
)
from stackctl.core.health.doctor_models import build_context_advice
from stackctl.core.images.build import list_builds, list_pulls
from stackctl.core.machine.host import Choice, GpuKind, Host, choose_runtime
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.dotenv import set_values
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.names import SOCKET_ACCESS, SOCKET_ROOT
from stackctl.errors import ConfigError, Finding, RuntimeFailure, Severity, StackError
from stackctl.operations.access.state import check_state
from stackctl.operations.effects import Effects, Files, Paths, Runtime
from stackctl.operations.engine.installations import list_installations
from stackctl.operations.site.lan import describe_lan
from stackctl.operations.site.load import load_site
from stackctl.operations.site.placement import (
    check_places,
    check_vllm,
    choose_device,
    choose_for_release,
    list_foreign_ports,
    list_ports,
)
from stackctl.operations.site.state import load_state

GIB = 1 << 30
# What an engine or gateway image unpacks to, and what an environment of the process runtime takes.
IMAGE_BYTES = 3 * GIB
GPU_IMAGE_BYTES = 8 * GIB
# vLLM's image beyond another engine's: PyTorch and kernels for every card.
VLLM_EXTRA_BYTES = 16 * GIB
INSTALLATION_BYTES = GIB
CA_HEAD_BYTES = 65_536
_AGENTS = tuple(AgentNeed(tool.title, tool.needs_context) for tool in TOOLS.values() if tool.needs_context)


def run_doctor(effects: Effects) -> tuple[Finding, ...]:
    """Every finding about this machine and this site; a configuration that cannot be read is a finding too."""
    host = effects.machine.load_host(True)
    try:
        loaded = load_site(effects)
    except ConfigError as error:
        problems = error.findings or (Finding("configuration", error.message, error.hint),)
        return (*problems, *check_host(DoctorInput(host)))
    facts, problems = build_input(effects, host, loaded)
    return (*problems, *describe_lan(effects, loaded), *check_state(effects, loaded.settings), *check_host(facts))


def set_fitting_context(effects: Effects) -> Mapping[str, int]:
    """Write the largest context that fits to `.env`; the settings that were written, none when the configured one fits.

    Raises:
        ConfigError: a model of `stack.yml` does not fit; its context is for a person to change.
    """
    facts, _ = build_input(effects, effects.machine.load_host(True), load_site(effects))
    advice = build_context_advice(facts)
    foreign = [name for name in advice if not name.isupper()]
    if foreign:
        name = foreign[0]
        raise ConfigError(f"{name} in stack.yml is more than fits.", f"set {name} to {advice[name]}")
    if advice:
        path = effects.paths.site / ".env"
        text = set_values(effects.files.load_text(path) or "", {name: str(value) for name, value in advice.items()})
        effects.files.save_text(path, text, 0o600)
    return advice


def build_input(effects: Effects, host: Host, loaded: LoadedSite) -> tuple[DoctorInput, tuple[Finding, ...]]:
    """What is checked of this machine and this site, and findings that came of looking."""
    settings, files = loaded.settings, effects.files
    runtime_name = _try_runtime(host, loaded)
    host = host if runtime_name == "compose" else host.bounded
    gpu, gpu_problems = _try_device(effects, host, loaded, runtime_name)
    vllm_problems = check_vllm(effects.machine, loaded, runtime_name, gpu)
    use = _load_use(effects, host, loaded, effects.runtimes.make(runtime_name, loaded, gpu.value))
    uses_engine = loaded.choose_stack(runtime_name).uses_engine
    user_id, _, group_id = settings.container_user.partition(":")
    ca_bundle = Path(settings.build_ca_bundle) if settings.build_ca_bundle else None
    facts = DoctorInput(
        host=host,
        runtime="compose" if runtime_name == "compose" else "process",
        runtime_wanted=settings.stack_runtime,
        gpu=gpu,
        gpu_wanted=settings.stack_gpu,
        gpu_devices=settings.gpu_devices,
        gpu_access=settings.gpu_access,
        container_user=(int(user_id), int(group_id)),
        image=_find_engine_image(loaded, gpu.value) if runtime_name == "compose" else None,
        kv_cache_type=settings.kv_cache_type,
        ports=use.ports,
        models=tuple(_build_entry(files, model) for model in loaded.choose_stack(runtime_name).models),
        disks=_list_disks(effects.paths, host, loaded, runtime_name, gpu.value),
        held_memory_bytes=use.memory_bytes,
        held_gpu_bytes=use.gpu_bytes,
        env_file=files.load_facts(effects.paths.site / ".env"),
        ca_bundle=files.load_facts(ca_bundle, CA_HEAD_BYTES) if ca_bundle else None,
        settings_findings=loaded.warnings,
        engine_findings=_list_engine_findings(loaded) if runtime_name == "process" and uses_engine else (),
        agents=_AGENTS,
    )
    return facts, (*_check_images(loaded), *gpu_problems, *vllm_problems, *check_places(loaded, runtime_name))


def _try_device(
    effects: Effects, host: Host, loaded: LoadedSite, runtime_name: str
) -> tuple[Choice[GpuKind], tuple[Finding, ...]]:
    """The GPU that would be used, none where the wanted one is not to be had, and findings on it."""
    try:
        return choose_device(effects, host, loaded, runtime_name)
    except ConfigError as error:
        return Choice("none", ""), (Finding("STACK_GPU", error.message, error.hint),)


@dataclass(frozen=True, slots=True)
class _Use:
    """What this stack's own services hold now, in bytes, and whose the ports are that it needs."""

    memory_bytes: int = 0
    gpu_bytes: int = 0
    ports: tuple[PortNeed, ...] = ()


def _load_use(effects: Effects, host: Host, loaded: LoadedSite, runtime: Runtime) -> _Use:
    try:
        memory_bytes, gpu_bytes = _sum_held(effects, runtime)
        return _Use(memory_bytes, gpu_bytes, _list_port_needs(effects, host, loaded, runtime))
    except RuntimeFailure:  # no engine answers: the check of Docker says so, and nobody knows whose a port is
        return _Use()


def _find_engine_image(loaded: LoadedSite, gpu: str) -> ImageFacts | None:
    """What the name of llama.cpp's own image says of it; None where another image is used."""
    if loaded.compose.engine is not LLAMA_CPP or not loaded.compose.uses_engine:
        return None
    name = next(iter(list_pulls(loaded.images, gpu)), "")
    return ImageFacts.from_name(name) if name else None


def _list_engine_findings(loaded: LoadedSite) -> tuple[Finding, ...]:
    """Findings on what came of asking engines on this machine, and which one serves."""
    findings = loaded.choice.list_findings()
    return findings if loaded.choice.is_exhausted else (*findings, loaded.choice.describe())


def _try_runtime(host: Host, loaded: LoadedSite) -> str:
    """The runtime that would be used; what is wrong with the wanted one is for the check to say."""
    wanted = loaded.settings.stack_runtime
    try:
        return choose_runtime(host, choose_for_release(loaded, wanted, "")[0]).value
    except StackError:
        return wanted


def _check_images(loaded: LoadedSite) -> list[Finding]:
    """Warn of images that may change under their name: what was tested is then not what runs."""
    settings, images = loaded.settings, loaded.images
    named = {
        "INFERENCE_IMAGE": settings.inference_image and images.inference["none"],
        "GATEWAY_IMAGE": settings.gateway_image and images.gateway,
    }
    return [
        Finding(
            name,
            f"'{image}' names no fixed version",
            "name a version's tag, or run 'stackctl images pin'",
            Severity.WARNING,
        )
        for name, image in named.items()
        if image and (image.endswith(":latest") or (":" not in image.rsplit("/", 1)[-1] and "@" not in image))
    ]


def _list_port_needs(effects: Effects, host: Host, loaded: LoadedSite, runtime: Runtime) -> tuple[PortNeed, ...]:
    foreign = list_foreign_ports(effects.machine, host, loaded, runtime)
    return tuple(
        PortNeed(setting, port, is_own=(port, setting) not in foreign)
        for port, setting in list_ports(loaded, runtime.name)
    )


def _build_entry(files: Files, model: ServedModel) -> ModelEntry:
    return ModelEntry(
        served_name=model.served_name,
        setting=model.setting,
        path=model.path,
        files=files.load_model_files(Path(model.path)),
        mode="chat" if model.mode == "chat" else "embedding",
        context_length=model.context_length,
        slots=model.slots,
        gpu_layers=model.gpu_layers,
        permissions=tuple(files.load_facts(Path(path)) for path in model.shards),
        vllm=VllmEntry(model.gpu_memory_share, count_gpus(model.arguments)) if model.is_vllm else None,
        tools=model.takes_tools,
    )


def _list_disks(paths: Paths, host: Host, loaded: LoadedSite, runtime: str, gpu: str) -> tuple[DiskNeed, ...]:
    """The disk space that is needed for what is not there yet."""
    access = "run stackctl as the owner of this folder, or make a site in a folder that this user may write"
    needs = [DiskNeed("logs and state", str(paths.site), GIB, access=access)]
    if runtime == "process":
        if (socket := host.disks.get(SOCKET_ROOT)) and not socket.is_writable:
            needs.append(DiskNeed("the supervisor's socket", SOCKET_ROOT, 0, access=SOCKET_ACCESS))
        missing = [item for item in list_installations(paths.data_root, loaded) if not item.target.exists()]
        if missing:
            size, access = INSTALLATION_BYTES * len(missing), "set XDG_CACHE_HOME to a folder that this user may write"
            needs.append(DiskNeed("environments", str(paths.cache_dir), size, "XDG_CACHE_HOME", access))
    elif host.docker is not None and host.docker.root_dir in host.disks:
        count = len(list_pulls(loaded.images, gpu)) + len(
            list_builds(loaded.settings, loaded.compose.engine, loaded.images, str(paths.data_root), gpu)
        )
        size = (GPU_IMAGE_BYTES if gpu != "none" else IMAGE_BYTES) * count
        size += VLLM_EXTRA_BYTES if loaded.images.vllm and not loaded.images.is_released else 0
        needs.append(DiskNeed("images", host.docker.root_dir, size))
    return tuple(needs)


def _sum_held(effects: Effects, runtime: Runtime) -> tuple[int, int]:
    """Bytes of memory and of GPU memory that this stack's own services hold now."""
    state = load_state(effects.files, effects.paths)
    if state is None or state.runtime != runtime.name:
        return 0, 0
    pids = [item.pid for item in runtime.list_states().values() if item.pid]
    gpu_memory = effects.machine.load_gpu_memory()
    held = sum(effects.machine.load_resident_bytes(pid) or 0 for pid in pids)
    return held, sum(gpu_memory.gather(pid, effects.machine.list_ancestors).held.get(pid, 0) for pid in pids)
