"""Find the running stack: which runtime it is in, and the plan it was started from."""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.core.runtime import StartPlan
from stackctl.errors import RuntimeFailure
from stackctl.operations.effects import Effects, Runtime
from stackctl.operations.site import LoadedSite, build_plan, load_known_answer, load_site, render_site
from stackctl.operations.state import State, load_state


@dataclass(frozen=True, slots=True)
class Running:
    """A started stack.

    Attributes:
        device: what the models run on, in words.
        known_answer: question and answer of the demo model.
    """

    loaded: LoadedSite
    runtime: Runtime
    plan: StartPlan
    device: str
    known_answer: tuple[str, str]


def load_running(effects: Effects) -> Running:
    """The stack that ``up`` started in this site.

    Raises:
        RuntimeFailure: it was not started, or was stopped.
    """
    state = load_state(effects)
    if state is None:
        raise RuntimeFailure("The stack is not running: nothing was started from this folder.", "run 'stackctl up'")
    loaded = load_site(effects)
    return build_running(effects, loaded, state)


def build_running(effects: Effects, loaded: LoadedSite, state: State) -> Running:
    """Join a loaded site with what ``up`` decided."""
    runtime = effects.make_runtime(state.runtime, loaded, state.gpu)
    plan = build_plan(effects, loaded, render_site(effects, loaded), runtime.name, state.gpu)  # type: ignore[arg-type]
    return Running(loaded, runtime, plan, state.device, load_known_answer(effects))
