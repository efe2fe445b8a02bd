"""Look at a started stack: its services and their logs. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stackctl.core.stack.names import GATEWAY, check_service_names
from stackctl.errors import ConfigError, Finding, NotRunning
from stackctl.operations.site.state import load_state

if TYPE_CHECKING:
    from stackctl.core.site.site_state import SiteState
    from stackctl.core.stack.runtime import ServiceState
    from stackctl.operations.effects import Effects, Runtime


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What runs: the state of each service, in the order of the stack.

    Attributes:
        release: title of the installed release that the stack was started from; empty where there was none.
        notice: what to do about a release that was loaded since; empty where there is none.
        warnings: what a person should know of what runs.
    """

    runtime: str
    device: str
    services: tuple[ServiceState, ...]
    release: str = ""
    notice: str = ""
    warnings: tuple[Finding, ...] = ()


def load_status(effects: Effects) -> StackStatus | None:
    """States of the services; ``None`` when the stack is not started."""
    state = load_state(effects.files, effects.paths)
    if state is None:
        return None
    states = tuple(effects.runtimes.find(state).list_states().values())
    if not states:
        return None
    return _add_remarks(effects, state, StackStatus(state.runtime, state.device, states, state.release))


def _add_remarks(effects: Effects, state: SiteState, status: StackStatus) -> StackStatus:
    """What is to be known of a later release and of the gateway's state.

    A site whose files cannot be read is for others to report.
    """
    # Reading settings takes 0.1 s of imports, which nothing needs where nothing runs.
    from stackctl.operations.access.limits import check_limits
    from stackctl.operations.access.logged_routes import check_content_log
    from stackctl.operations.access.state import check_state
    from stackctl.operations.site.load_settings import find_successor, load_settings

    status = replace(status, notice=find_successor(effects, state))
    try:
        settings = load_settings(effects)[0].values
    except ConfigError:
        return status
    checks = (check_state, check_limits, check_content_log)
    return replace(status, warnings=tuple(finding for check in checks for finding in check(effects, settings)))


def load_logs(effects: Effects, services: tuple[str, ...], lines: int) -> dict[str, str]:
    """The last lines of each service's log, by service."""
    runtime = _find_runtime(effects)
    return {name: runtime.read_log(name, lines) for name in _choose_services(runtime, services)}


def follow_logs(effects: Effects, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None:
    """Pass on lines of the services' logs until interrupted."""
    runtime = _find_runtime(effects)
    runtime.follow_logs(_choose_services(runtime, services), lines, write)


def _find_runtime(effects: Effects) -> Runtime:
    state = load_state(effects.files, effects.paths)
    if state is None:
        logs = effects.paths.state_dir / "logs"
        # Containers take their logs with them; processes leave files, also those of a start that failed.
        is_kept = effects.files.load_facts(logs / f"{GATEWAY}.log").mode is not None
        hint = f"run 'stackctl up'; what processes wrote before is in {logs}" if is_kept else "run 'stackctl up'"
        raise NotRunning("The stack is not running: nothing was started from this folder.", hint)
    return effects.runtimes.find(state)


def _choose_services(runtime: Runtime, services: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(sorted(runtime.list_states()))
    check_service_names(names, services)
    return services or names
