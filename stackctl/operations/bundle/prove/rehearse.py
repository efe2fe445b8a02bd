"""Run the stack once where no route out exists, and keep what was seen: for containers, and for processes.

In: a site and its state. Out: a ``Rehearsal``. Does I/O through its effects. What runs is what ``up`` runs: its
rendered files, its start, its wait and its health report. Whatever happens, everything is stopped again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackctl.core.health.probes import HealthReport
from stackctl.core.machine.host import Choice
from stackctl.core.proof.rehearsal import (
    WATCH_SCRIPT,
    build_rehearsal_files,
    list_images,
    name_project,
    name_watch,
)
from stackctl.core.proof.sightings import parse_health, render_health
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.site.site_state import SiteState
from stackctl.core.stack.names import COMPOSE_FILE
from stackctl.core.stack.runtime import StartPlan
from stackctl.errors import RuntimeFailure, UnhealthyError
from stackctl.operations.bundle.prove.effects import RehearsalEffects
from stackctl.operations.effects import Effects, Paths, Runtime
from stackctl.operations.look.health import check_health
from stackctl.operations.run.up import save_override
from stackctl.operations.run.wait import wait_healthy
from stackctl.operations.site.load import load_site
from stackctl.operations.site.placement import place_stack
from stackctl.operations.site.render import build_plan, load_known_answer, render_site
from stackctl.operations.site.running import Running
from stackctl.operations.site.state import clear_state, load_state, save_state

# Of a watch's log nothing may be left out.
ALL_LINES = 1_000_000_000
WHOLE_STACK = "the stack"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What one rehearsal showed.

    Attributes:
        failure: why the stack did not become healthy; empty when it did.
        watches: what the watch of each service wrote, by service.
        images: ids of the stack's images, by name.
        pulled: names of images that were pulled meanwhile.
        own_names: names under which services find each other.
        gap: why not all was seen that the Docker engine did; empty when it was.
    """

    health: HealthReport
    failure: str
    watches: Mapping[str, str]
    images: Mapping[str, str] = field(default_factory=dict)
    pulled: tuple[str, ...] = ()
    own_names: tuple[str, ...] = ()
    gap: str = ""


def check_not_running(effects: Effects) -> None:
    """Refuse to rehearse beside the running stack: both need the same ports and the same GPU memory.

    Raises:
        RuntimeFailure: the stack runs.
    """
    state = load_state(effects.files, effects.paths)
    if state is not None and effects.runtimes.find(state).list_states():
        raise RuntimeFailure("The stack is running; a rehearsal needs its ports and its memory.", "run 'stackctl down'")


def stop_leftovers(effects: Effects, rehearsing: RehearsalEffects, loaded: LoadedSite) -> None:
    """Remove the containers of a rehearsal that was killed: they hold the ports."""
    if effects.files.load_text(_find_folder(effects.paths) / COMPOSE_FILE) is not None:
        effects.terminal.report("removing what an interrupted rehearsal left")
        _stop_containers(effects, _make_rehearsal(effects, rehearsing, loaded, ()))


def rehearse_containers(
    effects: Effects, rehearsing: RehearsalEffects, state: SiteState, wait_timeout_s: float | None
) -> Rehearsal:
    """Rehearse in containers, each service in a network namespace that its companion closes and watches.

    The gateway is published on loopback whatever BIND_ADDRESS says: without routes it can answer its own bridge
    alone, and nobody outside should meet a rehearsal.

    Raises:
        RuntimeFailure: an image is missing, or something could not be started.
    """
    effects = replace(effects, given=replace(effects.given, flags={**effects.given.flags, "BIND_ADDRESS": "127.0.0.1"}))
    loaded = load_site(effects)
    plan = _build_complete_plan(effects, loaded, state)
    images = list_images(plan.rendered.files, plan.gpu)
    runtime = _make_rehearsal(effects, rehearsing, loaded, images)
    names = tuple(service.name for service in plan.services)
    project = name_project(state.project)
    with rehearsing.watch_engine(images) as engine, rehearsing.remove_if_killed(project, find_lock(effects.paths)):
        try:
            _save_rehearsal_files(effects, plan)
            running = _build_running(effects, loaded, runtime, plan, state)
            health, failure = _start_and_ask(effects, running, wait_timeout_s)
            effects.terminal.report("stopping the rehearsal")
            # First the services, whose last words are to be seen, too; then those who watch them.
            rehearsing.stop_containers(project, names)
            rehearsing.stop_containers(project, tuple(map(name_watch, names)))
            watches = {name: runtime.read_log(name_watch(name), ALL_LINES) for name in names}
        finally:
            with effects.machine.hold_interrupts():
                _stop_containers(effects, runtime)
        return Rehearsal(health, failure, watches, dict(engine.images), engine.list_pulled(), names, engine.find_gap())


def rehearse_processes(effects: Effects, rehearsing: RehearsalEffects, wait_timeout_s: float | None) -> Rehearsal:
    """Rehearse as processes; this process is in namespaces of its own already.

    Raises:
        RuntimeFailure: something is not installed, or could not be started.
    """
    with effects.files.hold_lock(find_lock(effects.paths)):
        check_not_running(effects)
        loaded = load_site(effects)
        with rehearsing.watch_namespace(_find_folder(effects.paths)) as watch:
            state, _ = place_stack(effects, loaded, Choice("process", "in a network of its own"))
            plan = _build_complete_plan(effects, loaded, state)
            runtime = effects.runtimes.make("process", loaded, state.gpu)
            try:
                for name, text in plan.rendered.files.items():
                    effects.files.save_text(effects.paths.rendered_dir / name, text, 0o644)
                save_state(
                    effects.files, effects.paths, state
                )  # so that 'stackctl down' ends what an interrupted rehearsal leaves
                running = _build_running(effects, loaded, runtime, plan, state)
                health, failure = _start_and_ask(effects, running, wait_timeout_s)
                effects.terminal.report("stopping the rehearsal")
            finally:
                with effects.machine.hold_interrupts():
                    runtime.stop(lambda line: None)
                    clear_state(effects.files, effects.paths)
        return Rehearsal(health, failure, {WHOLE_STACK: watch.read()})


def render_rehearsal(rehearsal: Rehearsal) -> str:
    """The rehearsal as JSON, to pass it out of the namespaces it happened in."""
    values = {
        "health": render_health(rehearsal.health),
        "failure": rehearsal.failure,
        "watches": dict(rehearsal.watches),
    }
    return json.dumps(values)


def parse_rehearsal(text: str) -> Rehearsal:
    """The rehearsal of processes, from the text that ``render_rehearsal`` makes."""
    values = json.loads(text)
    return Rehearsal(parse_health(values["health"]), values["failure"], values["watches"])


def _build_complete_plan(effects: Effects, loaded: LoadedSite, state: SiteState) -> StartPlan:
    """The plan of ``up``, where every image or environment of it is here.

    Raises:
        RuntimeFailure: something would have to be fetched or built first; names all of it.
    """
    rendered = render_site(effects, loaded)
    plan = build_plan(loaded, rendered, state.runtime, state.gpu)
    *missing, _ = effects.runtimes.make(state.runtime, loaded, state.gpu).list_commands(plan)
    # A release brings what its environments are installed from; that, too, is proved without a network.
    if missing and not (loaded.release and state.runtime == "process"):
        lines = "".join(f"\n  {command}" for command in missing)
        raise RuntimeFailure(
            f"The stack is not complete on this machine; before it starts it would run:{lines}",
            "load a bundle that has it, or run 'stackctl up' once where there is a network",
        )
    return plan


def _build_running(
    effects: Effects, loaded: LoadedSite, runtime: Runtime, plan: StartPlan, state: SiteState
) -> Running:
    return Running(loaded, runtime, plan, state.device, load_known_answer(effects, loaded.release))


def find_lock(paths: Paths) -> Path:
    """Path of the lock that a command holds while it starts or stops this site's stack."""
    return paths.state_dir / "lock"


def _find_folder(paths: Paths) -> Path:
    return paths.state_dir / "prove"


def _make_rehearsal(
    effects: Effects, rehearsing: RehearsalEffects, loaded: LoadedSite, images: tuple[str, ...]
) -> Runtime:
    return rehearsing.make_rehearsal(
        name_project(loaded.settings.stack_name), _find_folder(effects.paths), loaded, images
    )


def _save_rehearsal_files(effects: Effects, plan: StartPlan) -> None:
    script = effects.files.load_text(effects.paths.launcher.with_name(WATCH_SCRIPT)) or ""
    for name, text in build_rehearsal_files(plan.rendered.files, script).items():
        effects.files.save_text(_find_folder(effects.paths) / name, text, 0o644)
    save_override(effects.files, _find_folder(effects.paths), plan)


def _stop_containers(effects: Effects, runtime: Runtime) -> None:
    """Remove the containers, and then the file that says that there may be some."""
    runtime.stop(lambda line: None)
    effects.files.remove_file(_find_folder(effects.paths) / COMPOSE_FILE)


def _start_and_ask(effects: Effects, running: Running, wait_timeout_s: float | None) -> tuple[HealthReport, str]:
    """Start and ask: the last health report, and why the stack did not become healthy, which is a result here."""
    runtime, plan = running.runtime, running.plan
    runtime.prepare(plan, effects.terminal.report)
    runtime.start(plan, effects.terminal.report)
    try:
        return wait_healthy(effects, running, wait_timeout_s), ""
    except UnhealthyError as error:
        return check_health(effects, running, answers=False), _explain(error)


def _explain(error: UnhealthyError) -> str:
    """The error with what was found on its first line, which stands in the receipt; below it are the ends of logs."""
    first, *logs = error.message.splitlines()
    return "\n".join([" ".join([first, "; ".join(finding.render_text() for finding in error.findings)]).strip(), *logs])
