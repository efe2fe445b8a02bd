"""Bring the stack up: place it, render, prepare, start everything at once, wait until it is healthy.

In: the site's files and settings. Out: an ``UpResult``, or a ``DryRun``. Does I/O through its effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackctl.core.health.probes import HealthReport
from stackctl.core.machine.host import Choice, RuntimeName
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.site.site_state import SiteState
from stackctl.core.stack.names import OVERRIDE_FILE
from stackctl.core.stack.rendered_changes import render_diff
from stackctl.core.stack.runtime import StartPlan
from stackctl.errors import ConfigError, EngineRefused, Finding, ImageUnavailable, Severity
from stackctl.operations.effects import Effects, Files, Runtime
from stackctl.operations.engine.engines import check_engine_left, refuse_engine, try_engine
from stackctl.operations.engine.gpu_engine import build_gpu_engine
from stackctl.operations.engine.loaded_files import find_replaced, keep_identities, load_identities
from stackctl.operations.run.leftovers import end_leftovers, leave_former_site
from stackctl.operations.run.wait import list_warnings, wait_healthy
from stackctl.operations.site.load import load_site
from stackctl.operations.site.placement import place_stack
from stackctl.operations.site.render import build_plan, load_known_answer, render_site
from stackctl.operations.site.running import Running
from stackctl.operations.site.state import clear_state, save_state


@dataclass(frozen=True, slots=True)
class DryRun:
    """What ``up`` would do.

    Attributes:
        runtime: runtime that the stack would be started in.
        device: what the models would run on, in words.
        difference: unified diff of the files that this runtime starts from, empty when they are current.
        commands: command lines that would be run, in order.
        warnings: findings that would stop nothing.
    """

    runtime: str
    device: str
    difference: str
    commands: tuple[str, ...]
    warnings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class UpResult:
    """What ``up`` did.

    Attributes:
        started: services that were started or restarted; empty when all was as it should be.
    """

    running: Running
    started: tuple[str, ...]
    report: HealthReport
    warnings: tuple[Finding, ...]


def preview_up(effects: Effects) -> DryRun:
    """Say what would change and which commands would run; changes nothing."""
    loaded = load_site(effects)
    state, warnings = place_stack(effects, loaded)
    runtime, plan = _plan(effects, loaded, state)
    files = plan.files
    before = {name: effects.files.load_text(effects.paths.rendered_dir / name) or "" for name in files}
    found = (*loaded.warnings, *warnings, *_explain_unread_override(loaded, plan))
    return DryRun(plan.runtime, state.device, render_diff(before, files), runtime.list_commands(plan), found)


def run_up(effects: Effects, wait_timeout_s: float | None = None) -> UpResult:
    """Start what is not running, restart what changed, and wait until every layer is healthy.

    Args:
        wait_timeout_s: seconds that replace the deadline that follows from the models' sizes.

    Raises:
        ConfigError: the site's files or settings are not usable; nothing was started.
        RuntimeFailure: something could not be built, installed or started.
        UnhealthyError: the stack started and did not become healthy in time.
    """
    with effects.files.hold_lock(effects.paths.state_dir / "lock"):
        ready = _prepare(effects)
        running = Running(
            ready.loaded,
            ready.runtime,
            ready.plan,
            ready.state.device,
            load_known_answer(effects, ready.loaded.release),
        )
        started, report = _start(effects, running, ready.state, wait_timeout_s)
        unread = _explain_unread_override(ready.loaded, ready.plan)
        warnings = (*ready.loaded.warnings, *ready.warnings, *unread, *list_warnings(report))
        return UpResult(running, started, report, warnings)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A stack of which nothing is missing any more."""

    loaded: LoadedSite
    state: SiteState
    runtime: Runtime
    plan: StartPlan
    warnings: tuple[Finding, ...]


def _prepare(effects: Effects) -> _Ready:
    """Bring here all that the stack needs; anew with the next engine as long as one does not answer on this machine."""
    fixed: Choice[RuntimeName] | None = None
    fallback: tuple[Finding, ...] = ()
    offers_engine, unbuilt = True, tuple[Finding, ...]()
    while True:
        loaded = load_site(effects)
        end_leftovers(effects)
        if offers_engine:
            offers_engine = False
            is_new, unbuilt = build_gpu_engine(effects, loaded, fixed)
            if is_new:
                continue
        try:
            state, warnings = place_stack(effects, loaded, fixed)
        except ConfigError as error:  # a GPU that was named, and no engine for it: why none was built belongs to it
            raise ConfigError(error.message, error.hint, (*error.findings, *unbuilt)) from error
        runtime, plan = _plan(effects, loaded, state)
        is_process = state.runtime == "process" and loaded.process.uses_engine
        if is_process:
            check_engine_left(loaded.choice)
        try:
            runtime.prepare(plan, effects.terminal.report)
        except ImageUnavailable as error:
            if fixed or loaded.settings.stack_runtime != "auto" or runtime.list_states():
                raise
            effects.terminal.report(f"{error.message.splitlines()[0]}; starting as processes of this machine instead")
            fixed, fallback = Choice("process", "its images cannot be had"), (_explain_fallback(error),)
            offers_engine = True
            continue
        except EngineRefused as error:
            refuse_engine(effects, loaded.settings, loaded.choice, error)
            continue
        findings = loaded.choice.list_findings() if is_process else ()
        if not is_process or try_engine(effects, loaded.settings, loaded.choice):
            return _Ready(loaded, state, runtime, plan, (*unbuilt, *warnings, *findings, *fallback))


def _plan(effects: Effects, loaded: LoadedSite, state: SiteState) -> tuple[Runtime, StartPlan]:
    runtime = effects.runtimes.make(state.runtime, loaded, state.gpu)
    rendered = render_site(effects, loaded)
    plan = build_plan(loaded, rendered, runtime.name, state.gpu, state.by_cdi)
    return runtime, plan


def _start(
    effects: Effects, running: Running, state: SiteState, wait_timeout_s: float | None
) -> tuple[tuple[str, ...], HealthReport]:
    """Write, start, wait. A stack that was not there before is not left half started; one that was keeps running."""
    runtime, plan = running.runtime, running.plan
    leave_former_site(effects)
    was_running = bool(runtime.list_states())
    try:
        for name, text in plan.rendered.files.items():
            effects.files.save_text(effects.paths.rendered_dir / name, text, 0o644)
        save_override(effects.files, effects.paths.rendered_dir, plan)
        save_state(effects.files, effects.paths, state)
        identities = load_identities(effects.files, plan.services)
        states = runtime.list_states()
        replaced = [item.name for item in plan.services if find_replaced(effects, item, states.get(item.name))]
        started = runtime.start(plan, effects.terminal.report)
        stale = tuple(name for name in replaced if name not in started)
        if stale:
            effects.terminal.report(f"the model file of {', '.join(stale)} was replaced")
            runtime.restart(stale, effects.terminal.report)
        report = wait_healthy(effects, running, wait_timeout_s)
        keep_identities(effects, identities, runtime.list_states())
        return (*started, *stale), report
    except BaseException:
        if not was_running:
            with effects.machine.hold_interrupts():
                effects.terminal.report("stopping what was started")
                runtime.stop(lambda line: None)
                clear_state(effects.files, effects.paths)
        raise


def save_override(files: Files, folder: Path, plan: StartPlan) -> None:
    """Put a copy of the site's own `compose.override.yml` beside the rendered files, or take away an old one."""
    if plan.override:
        files.save_text(folder / OVERRIDE_FILE, plan.override, 0o600)
    else:
        files.remove_file(folder / OVERRIDE_FILE)


def _explain_unread_override(loaded: LoadedSite, plan: StartPlan) -> tuple[Finding, ...]:
    if not loaded.override or plan.runtime == "compose":
        return ()
    message = "is for containers; the process runtime does not read it"
    return (Finding(OVERRIDE_FILE, message, "set STACK_RUNTIME=compose, or remove it", Severity.WARNING),)


def _explain_fallback(error: ImageUnavailable) -> Finding:
    first, *rest = error.message.splitlines()
    return Finding(
        "STACK_RUNTIME",
        "\n".join([f"{first}; so the stack runs as processes of this machine", *rest]),
        f"{error.hint}; STACK_RUNTIME=compose insists on containers",
        Severity.WARNING,
    )
