"""Stop and restart a started stack.

In: the state that ``up`` left. Out: whether anything was running, or a health report. Does I/O through its effects.
"""

from __future__ import annotations

from stackctl.core.health.probes import HealthReport
from stackctl.core.stack.names import check_service_names
from stackctl.errors import NotRunning, RuntimeFailure
from stackctl.operations.effects import Effects
from stackctl.operations.engine.loaded_files import keep_identities, load_identities
from stackctl.operations.run.wait import wait_healthy
from stackctl.operations.site.load import load_site
from stackctl.operations.site.running import build_running
from stackctl.operations.site.state import clear_state, find_former_site, load_state


def run_down(effects: Effects) -> bool:
    """Stop everything that ``up`` started here; whether anything was running.

    It needs nothing but the state of that ``up``, and without it looks for what runs: neither a broken `.env` nor a
    lost file may keep a stack running.

    Raises:
        RuntimeFailure: something could not be stopped.
    """
    with effects.files.hold_lock(effects.paths.state_dir / "lock"):
        state = load_state(effects.files, effects.paths)
        if state is None:
            runtimes = (*effects.runtimes.find_forgotten("process"), *effects.runtimes.find_forgotten("compose"))
        else:
            runtimes = (effects.runtimes.find(state),)
        stopped = [runtime.stop(effects.terminal.report) for runtime in runtimes]
        clear_state(effects.files, effects.paths)
        return any(stopped)


def run_restart(effects: Effects, names: tuple[str, ...], wait_timeout_s: float | None = None) -> HealthReport:
    """Restart services (all, when none is named) and wait until the stack is healthy again.

    Raises:
        NotRunning: the stack is stopped.
        ConfigError: the stack has no such service.
        UnhealthyError: the stack did not become healthy in time.
    """
    with effects.files.hold_lock(effects.paths.state_dir / "lock"):
        state = load_state(effects.files, effects.paths)
        if state is None:
            raise NotRunning("The stack is not running.", "run 'stackctl up'")
        former = find_former_site(effects.paths, state)
        if former:
            raise RuntimeFailure(f"The site was moved here from {former} while its stack ran.", "run 'stackctl up'")
        running = build_running(effects, load_site(effects, state.release), state)
        chosen = names or tuple(service.name for service in running.plan.services)
        check_service_names([service.name for service in running.plan.services], chosen)
        restarted = tuple(service for service in running.plan.services if service.name in chosen)
        identities = load_identities(effects.files, restarted)
        running.runtime.restart(chosen, effects.terminal.report)
        report = wait_healthy(effects, running, wait_timeout_s)
        keep_identities(effects, identities, running.runtime.list_states())
        return report
