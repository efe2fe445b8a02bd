"""What an earlier command left running, or what a moved folder left behind: found, told and ended.

In: the site's state. Out: findings; processes are ended. Does I/O through its effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.errors import Finding, Severity
from stackctl.operations.site.state import find_former_site, load_state

if TYPE_CHECKING:
    from stackctl.operations.effects import Effects


def check_start(effects: Effects) -> tuple[Finding, ...]:
    """Findings on how the stack was started or stopped: its folder was moved, or something of it is left running."""
    state = load_state(effects.files, effects.paths)
    former = find_former_site(effects.paths, state) if state else None
    runtimes = (
        (effects.runtimes.find(state),)
        if state
        else (*effects.runtimes.find_forgotten("process"), *effects.runtimes.find_forgotten("compose"))
    )
    left = [pid for runtime in runtimes for pid in runtime.list_leftovers()]
    services = [service for runtime in runtimes for service in runtime.list_states().values()]
    pids = ", ".join(str(pid) for pid in (*left, *(service.pid for service in services)))
    if left or (services and state is None):
        hint = "run 'stackctl down' to end them, or 'stackctl up' to start again"
        return (Finding("stack", f"an earlier command left processes behind: {pids}", hint, Severity.WARNING),)
    if former and services:
        hint = "run 'stackctl up': its services start again from here"
        return (Finding("site", f"was moved here from {former} while its stack ran", hint, Severity.WARNING),)
    return ()


def end_leftovers(effects: Effects) -> None:
    """End processes to which nothing leads any more: a command was killed, or a supervisor, or its socket removed.

    Containers need no such care: Compose finds its own.
    """
    state = load_state(effects.files, effects.paths)
    runtimes = effects.runtimes.find_forgotten("process") if state is None else (effects.runtimes.find(state),)
    for runtime in runtimes:
        if state is None or runtime.list_leftovers():
            effects.terminal.report("ending what an earlier command left behind")
            runtime.stop(effects.terminal.report)


def leave_former_site(effects: Effects) -> None:
    """Stop what runs from the paths of a folder that was moved: a service that starts again would not find them."""
    state = load_state(effects.files, effects.paths)
    former = find_former_site(effects.paths, state) if state else None
    if state is None or former is None:
        return
    runtime = effects.runtimes.find(state)
    if runtime.list_states():
        effects.terminal.report(f"the site was moved here from {former}: its services start again")
        runtime.stop(effects.terminal.report)
