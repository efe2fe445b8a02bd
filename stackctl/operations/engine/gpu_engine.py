"""An engine for the GPU that is there: what building one takes, whether it is wanted, and the building.

In: a loaded site and its host. Out: a plan, a hint, or a built engine. Does I/O through its effects.
"""

from __future__ import annotations

from stackctl.core.engine.build import Build, GpuBuildPlan, plan_gpu_build
from stackctl.core.engine.engines import AUTO, LLAMA_CPP
from stackctl.core.engine.trial import EngineRecord
from stackctl.core.machine.host import Choice, Host, RuntimeName, choose_gpu, choose_runtime
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.errors import ConfigError, EngineRefused, Finding, RuntimeFailure, Severity
from stackctl.operations.effects import Effects, Engines, Terminal
from stackctl.operations.engine.engines import build_server_form, uses_gpu

SETTING = "STACK_BUILD_ENGINE"
COMMAND = "stackctl up --build-engine"


def plan_engine(engines: Engines, loaded: LoadedSite, host: Host, kind: str) -> GpuBuildPlan | None:
    """What it takes to build an engine of the process runtime for this kind of GPU; None where none would be built."""
    if loaded.release or loaded.settings.inference_engine not in (AUTO, LLAMA_CPP.name):
        return None
    return plan_gpu_build(host, kind, loaded.settings.gpu_devices, engines.load_toolkit(kind))


def suggest_engine(effects: Effects, loaded: LoadedSite, host: Host, kind: str) -> str:
    """What to do about a GPU that the process runtime's engine leaves alone."""
    plan = plan_engine(effects.engines, loaded, host, kind)
    if plan is None:
        return "put a llama-server with GPU support on PATH, use Docker, or set STACK_GPU=none"
    if plan.build is None:
        return f"{plan.problem}: {plan.hint}, or set STACK_GPU=none"
    return f"build an engine for it, {plan.render_duration()} here: {COMMAND}; or set STACK_GPU=none"


def build_gpu_engine(
    effects: Effects, loaded: LoadedSite, fixed: Choice[RuntimeName] | None = None
) -> tuple[bool, tuple[Finding, ...]]:
    """Build an engine for a GPU that the chosen one leaves alone, where that is wanted.

    Args:
        fixed: runtime that replaces STACK_RUNTIME, and why; None where none does.

    Returns:
        Whether there is a new engine to choose, and findings on why a wanted one is not there.
    """
    settings = loaded.settings
    wanted = settings.stack_build_engine
    if wanted == "never" or not loaded.process.uses_engine:
        return False, ()
    host, kind, reason = _find_gpu(effects, loaded, fixed)
    plan = plan_engine(effects.engines, loaded, host, kind) if host else None
    if plan is None:
        reason = reason or f"INFERENCE_ENGINE={settings.inference_engine} leaves no choice"
        return False, (_explain_nothing(reason),) if SETTING in effects.given.flags else ()
    if plan.build is None:
        return False, (_explain(plan, plan.problem, plan.hint),) if wanted == "always" else ()
    record = effects.engines.load_record(build_server_form(effects.engines, plan.build), True)
    if record and not record.works and SETTING not in effects.given.flags:  # minutes for what is known to fail
        return False, (_explain_refusal(plan, record.reason),)
    if wanted == "ask" and not _ask(effects.terminal, plan):
        return False, ()
    return _build(effects, loaded, plan, plan.build)


def _find_gpu(effects: Effects, loaded: LoadedSite, fixed: Choice[RuntimeName] | None) -> tuple[Host | None, str, str]:
    """The GPU that processes would leave alone: its host and kind, or why there is none to build for."""
    settings, form = loaded.settings, loaded.choice.form
    if form.engine is LLAMA_CPP:
        return None, "", f"{form.title} serves"
    kinds = ("nvidia", "amd") if settings.stack_gpu == AUTO else (settings.stack_gpu,)
    if not uses_gpu(settings) or not any(map(effects.engines.has_device, kinds)):
        return None, "", "STACK_GPU=none" if not uses_gpu(settings) else "this machine shows no GPU"
    host = effects.machine.load_host(settings.stack_runtime != "process")
    try:
        gpu = choose_gpu(host, settings.stack_gpu)
        runtime = fixed or choose_runtime(host, settings.stack_runtime)
    except ConfigError as error:  # for place_stack to raise
        return None, "", error.message
    if gpu.value == "none" or runtime.value != "process":
        return None, "", gpu.reason if gpu.value == "none" else "the stack runs in containers, which bring their engine"
    return host, gpu.value, ""


def _ask(terminal: Terminal, plan: GpuBuildPlan) -> bool:
    duration = plan.render_duration()
    return terminal.confirm(
        f"{plan.title} is there, and an engine for it can be built ({duration}, once). Build it now?"
    )


def _build(effects: Effects, loaded: LoadedSite, plan: GpuBuildPlan, build: Build) -> tuple[bool, tuple[Finding, ...]]:
    form = build_server_form(effects.engines, build)
    title = f"building llama-server for {plan.title}"
    effects.terminal.report(f"{title}: {plan.render_duration()}, once")
    try:
        effects.engines.make(
            effects.engines.find_build(build) / "llama-server",
            build,
            loaded.settings.pip_index_url,
            lambda line: effects.terminal.report(f"{title}: {line}"),
        )
        effects.engines.forget_record(form, True)  # a build before it may have been refused
        return True, ()
    except EngineRefused as error:
        effects.engines.save_record(form, True, EngineRecord(works=False, reason=error.reason), error.is_lasting)
        return False, (_explain_refusal(plan, error.reason),)
    except RuntimeFailure as error:
        return False, (_explain(plan, error.message, f"to try again: {COMMAND}"),)


def _explain_nothing(reason: str) -> Finding:
    return Finding(SETTING, f"no engine was built: {reason}", severity=Severity.WARNING)


def _explain_refusal(plan: GpuBuildPlan, reason: str) -> Finding:
    return _explain(plan, f"the llama-server built for it {reason}", f"to build it again: {COMMAND}")


def _explain(plan: GpuBuildPlan, problem: str, hint: str) -> Finding:
    return Finding(SETTING, f"the CPU computes, not {plan.title}: {problem}", hint, Severity.WARNING)
