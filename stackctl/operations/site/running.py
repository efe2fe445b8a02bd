"""Find the running stack: which runtime it is in, and the plan it was started from.

In: the site's state. Out: a ``Running`` stack. Reads through its effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.site.site_state import SiteState
from stackctl.core.stack.runtime import StartPlan
from stackctl.errors import ConfigError, NotRunning, StackError, suggest_nearest
from stackctl.operations.effects import Effects, Runtime
from stackctl.operations.site.load import load_site
from stackctl.operations.site.load_settings import load_release
from stackctl.operations.site.render import build_plan, load_known_answer, render_site
from stackctl.operations.site.state import load_state


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


def find_successor(effects: Effects, state: SiteState) -> str:
    """What to do about a release that was loaded since the stack was started; empty where there is none.

    A site whose files cannot be read is for others to report.
    """
    try:
        release = load_release(effects)
    except StackError:
        return ""
    if release is None:
        return ""
    from stackctl.core.bundle.load.release import explain_successor

    return explain_successor(release.manifest, state.release)


def check_service_names(known: Sequence[str], names: tuple[str, ...]) -> None:
    """Refuse a service that the stack does not have.

    Raises:
        ConfigError: there is no such service; names the nearest.
    """
    for name in names:
        if name not in known:
            raise ConfigError(
                f"'{name}' is no service of this stack.",
                suggest_nearest(name, known) or f"services are: {', '.join(known)}",
            )
