"""Find the running stack: which runtime it is in, and the plan it was started from.

In: the site's state. Out: a ``Running`` stack. Reads through its effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.errors import NotRunning
from stackctl.operations.site.load import load_site
from stackctl.operations.site.load_settings import find_successor
from stackctl.operations.site.render import build_plan, load_known_answer, render_site
from stackctl.operations.site.state import load_state

if TYPE_CHECKING:
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.core.site.site_state import SiteState
    from stackctl.core.stack.runtime import StartPlan
    from stackctl.operations.effects import Effects, Runtime


@dataclass(frozen=True, slots=True)
class Running:
    """A started stack.

    Attributes:
        device: what the models run on, in words.
        known_answer: question and answer of the demo model.
        successor: what to do about a release that was loaded since the stack was started; empty where there is none.
    """

    loaded: LoadedSite
    runtime: Runtime
    plan: StartPlan
    device: str
    known_answer: tuple[str, str]
    successor: str = ""


def load_running(effects: Effects) -> Running:
    """The stack that ``up`` started in this site, as it was started: what was loaded since does not run yet.

    Raises:
        NotRunning: the stack was not started, or was stopped.
    """
    state = load_state(effects.files, effects.paths)
    if state is None:
        raise NotRunning("The stack is not running: nothing was started from this folder.", "run 'stackctl up'")
    return build_running(effects, load_site(effects, state.release), state)


def build_running(effects: Effects, loaded: LoadedSite, state: SiteState) -> Running:
    """Join a loaded site with what ``up`` chose."""
    runtime = effects.runtimes.make(state.runtime, loaded, state.gpu)
    rendered = render_site(effects, loaded)
    plan = build_plan(loaded, rendered, runtime.name, state.gpu, state.by_cdi)
    return Running(
        loaded, runtime, plan, state.device, load_known_answer(effects, loaded.release), find_successor(effects, state)
    )
