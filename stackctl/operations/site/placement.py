"""Place a stack: choose where it runs on this host, and refuse what cannot work before anything is pulled.

In: a loaded site. Out: a ``SiteState``, and warnings. Reads this machine through its effects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stackctl.core.apps.catalog import choose_apps
from stackctl.core.engine.engines import can_use_gpu
from stackctl.core.machine.docker_facts import DockerFacts, check_docker, explain_no_compose
from stackctl.core.machine.host import Choice, GpuKind, Host, RuntimeName, choose_gpu, choose_runtime
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.site.site_state import SiteState
from stackctl.core.stack.checks import check_bind_address, check_engine_ports
from stackctl.errors import ConfigError, Finding, Severity, raise_config_error
from stackctl.operations.effects import Effects, Machine, Runtime
from stackctl.operations.engine.gpu_engine import suggest_engine
from stackctl.operations.engine.installations import find_vllm
from stackctl.operations.site.lan import check_lan
from stackctl.operations.site.placed_apps import (
    check_app_images,
    check_app_programs,
    check_app_wheels,
    explain_apps,
    find_left_state,
)
from stackctl.operations.site.state import load_state

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


def check_places(loaded: LoadedSite, runtime: str) -> list[Finding]:
    """Check what the runtime makes of addresses: where the gateway listens, and who else is where an engine is."""
    found = check_engine_ports(loaded.process.models, loaded.process.endpoints, runtime)
    renamed = (loaded.resolved.overlay.rename(finding) for finding in found)
    return [*check_bind_address(loaded.settings, runtime), *renamed]


def place_stack(
    effects: Effects, loaded: LoadedSite, fixed: Choice[RuntimeName] | None = None
) -> tuple[SiteState, tuple[Finding, ...]]:
    """Choose the runtime and the device of a stack.

    Args:
        fixed: runtime that replaces STACK_RUNTIME, and why; None where none does.

    Raises:
        ConfigError: what is asked for this host does not have, a port is taken, or the stack runs elsewhere.
    """
    settings = loaded.settings
    wanted = fixed.value if fixed else settings.stack_runtime
    host = effects.machine.load_host(wanted != "process")
    runtime = _place_runtime(host, loaded, wanted, fixed, _find_running(effects, loaded))
    raise_config_error("The stack cannot run like this.", check_places(loaded, runtime.value))
    gpu, warnings = choose_device(effects, host, loaded, runtime.value)
    raise_config_error(
        "A model cannot be served by vLLM here.", check_vllm(effects.machine, loaded, runtime.value, gpu)
    )
    lan = check_lan(effects, loaded)
    raise_config_error("The gateway cannot be brought into the network.", lan)
    warnings = (*warnings, *lan)
    if runtime.value == "process":
        missing = check_app_programs(effects.machine, loaded.settings, (loaded.paths.programs,))
        raise_config_error("A program is missing.", [*missing, *check_app_wheels(loaded)])
        apps = explain_apps(loaded.settings, str(effects.paths.rendered_dir))
        warnings = (*warnings, *apps, *find_left_state(effects, loaded.settings))
    else:
        raise_config_error("An image is missing.", check_app_images(loaded))
    if wanted == "auto" and runtime.value == "process":
        warnings = (*check_docker(host.docker), *warnings)
    _check_ports(effects, host, loaded, effects.runtimes.make(runtime.value, loaded, gpu.value))
    device = describe_device(gpu)
    effects.terminal.report(f"runtime: {runtime.value} ({runtime.reason}); device: {device}")
    release = loaded.release.title if loaded.release else ""
    access = "cdi" if (host.docker or DockerFacts()).gives_by_cdi(settings.gpu_access) else "toolkit"
    state = SiteState(runtime.value, gpu.value, device, settings.stack_name, release, str(effects.paths.site), access)
    return state, warnings


def _place_runtime(
    host: Host, loaded: LoadedSite, wanted: str, fixed: Choice[RuntimeName] | None, running_in: str
) -> Choice[RuntimeName]:
    """The runtime of a stack, and why.

    Args:
        running_in: the runtime that it runs in already; empty for none.
    """
    # 'auto' is for a stack that does not run yet; one that runs stays where it is.
    asked, reason = choose_for_release(loaded, wanted, running_in)
    problem = explain_no_compose(host.docker)
    if reason and asked == "compose" and problem:
        hint = "start Docker, or load a bundle that was packed with --include-process-runtime"
        raise ConfigError(f"The stack runs in containers: {reason}. But {problem}.", hint)
    runtime = fixed or choose_runtime(host, asked)
    if running_in not in ("", runtime.value):
        raise ConfigError(
            f"The stack runs in the {running_in} runtime; asked for was {runtime.value}.", "run 'stackctl down' first"
        )
    return replace(runtime, reason=reason or runtime.reason)


def choose_device(
    effects: Effects, host: Host, loaded: LoadedSite, runtime: str
) -> tuple[Choice[GpuKind], tuple[Finding, ...]]:
    """The GPU that the engine of this runtime can use; a warning when there is one that it cannot use.

    Raises:
        ConfigError: a GPU is asked for that the host or the engine does not have.
    """
    wanted = loaded.settings.stack_gpu
    choice = choose_gpu(host, wanted)
    engine = loaded.choose_stack(runtime).engine
    usable = _can_compute(loaded, runtime, choice.value)
    if runtime == "compose" and loaded.release and choice.value not in loaded.release.gpus:
        return _choose_released_device(loaded.release, choice, wanted)
    # vLLM computes on the GPU, whatever the engine of other models was built for.
    if choice.value == "none" or usable or not loaded.choose_stack(runtime).uses_engine:
        return choice, ()
    message = f"{choice.reason} is there, but the engine {engine.name} of the {runtime} runtime computes on the CPU"
    hint = suggest_engine(effects, loaded, host, choice.value)
    if wanted != "auto":
        raise ConfigError(f"STACK_GPU={wanted}: {message}.", hint)
    return Choice("none", message), (Finding("STACK_GPU", message, hint, Severity.WARNING),)


def check_vllm(machine: Machine, loaded: LoadedSite, runtime: str, gpu: Choice[GpuKind]) -> list[Finding]:
    """Check that this machine has what vLLM needs: an NVIDIA GPU for its image, or its program for processes."""
    models = [model for model in loaded.choose_stack(runtime).models if model.is_vllm]
    if not models or (runtime == "compose" and gpu.value == "nvidia"):
        return []
    if runtime == "compose":
        message = f"vLLM's image computes on an NVIDIA GPU alone; the engines get {describe_device(gpu)}"
        hint = "start it where such a GPU is, or take 'engine: vllm' away and name a GGUF file"
    elif find_vllm(machine, loaded.settings):
        return []
    else:
        program = loaded.settings.vllm_program or "on PATH"
        message = f"there is no vllm program ({program}), which the process runtime starts and does not install"
        hint = "install vLLM in an environment of its own and set VLLM_PROGRAM to its bin/vllm, or use Docker"
    return [Finding(f"models.{model.served_name}.engine", message, hint, file="stack.yml") for model in models]


def choose_for_release(loaded: LoadedSite, wanted: str, running_in: str) -> tuple[str, str]:
    """The runtime to ask the host for, and why, unless STACK_RUNTIME says so.

    A stack that runs stays where it is, and a release may be for one runtime only.

    Raises:
        ConfigError: the release has nothing for the runtime that is wanted.
    """
    runtimes = loaded.release.manifest.runtimes if loaded.release else ("compose", "process")
    if wanted == "auto" and running_in in runtimes:
        return running_in, "where it runs already"
    if wanted == "auto" and len(runtimes) == 1 and loaded.release:
        return runtimes[0], f"release {loaded.release.title} has parts for it alone"
    if wanted not in ("auto", *runtimes):
        assert loaded.release is not None
        raise ConfigError(
            f"STACK_RUNTIME={wanted}: release {loaded.release.title} has parts for {', '.join(runtimes)} only.",
            f"set STACK_RUNTIME={runtimes[0]}, or pack again with --include-process-runtime",
        )
    return wanted, ""


def _choose_released_device(
    release: Release, choice: Choice[GpuKind], wanted: str
) -> tuple[Choice[GpuKind], tuple[Finding, ...]]:
    """Fall back to the CPU where the installed release has no engine image for the GPU that is there.

    Raises:
        ConfigError: the operator asked for that GPU, or the release has no image for the CPU either.
    """
    message = f"release {release.title} has no engine image for '{choice.value}', only for {', '.join(release.gpus)}"
    if wanted != "auto" or "none" not in release.gpus:
        raise ConfigError(f"STACK_GPU={wanted}: {message}.", "set STACK_GPU=none, or pack again where that GPU is")
    hint = "pack again where that GPU is, or set STACK_GPU=none"
    return Choice("none", message), (Finding("STACK_GPU", message, hint, Severity.WARNING),)


def _can_compute(loaded: LoadedSite, runtime: str, gpu: str) -> bool:
    """Whether the engine computes on such a GPU; of a release's engine it is known what it was built for."""
    release = loaded.release
    if runtime == "process" and release and release.engine and loaded.choice.form.command == (release.engine,):
        return release.manifest.engine is not None and release.manifest.engine.gpu == gpu
    return can_use_gpu(loaded.choose_stack(runtime).engine, runtime, gpu)


def describe_device(choice: Choice[GpuKind]) -> str:
    """The device in words: ``CPU (STACK_GPU=none)``, ``NVIDIA GPU (NVIDIA H200)``."""
    titles = {"none": "CPU", "nvidia": "NVIDIA GPU", "amd": "AMD GPU", "vulkan": "GPU by Vulkan"}
    return f"{titles[choice.value]} ({choice.reason})"


def _find_running(effects: Effects, loaded: LoadedSite) -> str:
    """The runtime in which this site's stack has services now, empty when it has none."""
    state = load_state(effects.files, effects.paths)
    if state is None or not effects.runtimes.find(state).list_states():
        return ""
    if state.project != loaded.settings.stack_name:
        message = f"The stack runs under the name '{state.project}'; STACK_NAME is now '{loaded.settings.stack_name}'."
        raise ConfigError(message, "run 'stackctl down', then 'up'")
    return state.runtime


def _check_ports(effects: Effects, host: Host, loaded: LoadedSite, runtime: Runtime) -> None:
    """Check that every port is free, or held by this stack already.

    Raises:
        ConfigError: a port is taken; names its holder and the setting.
    """
    findings = []
    for port, setting in list_foreign_ports(effects.machine, host, loaded, runtime):
        message = f"port {port} is in use by {host.ports[port].render_text()}"
        findings.append(Finding(setting, message, f"stop it, or set another {setting} in .env"))
    raise_config_error("A port is in use.", findings)


def list_foreign_ports(machine: Machine, host: Host, loaded: LoadedSite, runtime: Runtime) -> list[tuple[int, str]]:
    """Wanted ports, with their settings, that something else than this stack listens on."""
    own_pids = {state.pid for state in runtime.list_states().values() if state.pid}
    own_ports = runtime.list_ports()
    taken = []
    for port, setting in list_ports(loaded, runtime.name):
        holder = host.ports.get(port)
        if holder is None or port in own_ports:
            continue
        if not own_pids.intersection((holder.pid, *machine.list_ancestors(holder.pid))):
            taken.append((port, setting))
    return taken


def list_ports(loaded: LoadedSite, runtime: str) -> list[tuple[int, str]]:
    """Ports of this machine that the stack listens on: engines in containers listen inside only."""
    ports = [(loaded.settings.api_gateway_port, "API_GATEWAY_PORT")]
    if runtime == "process":
        ports += [(model.port, "INFERENCE_PORT") for model in loaded.process.models]
    for app in choose_apps(loaded.settings):
        names = app.ports if runtime == "process" else app.published
        ports += [(int(getattr(loaded.settings, name.lower())), name) for name in names]
    return ports
