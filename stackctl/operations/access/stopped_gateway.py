"""The gateway's program, run once for one action while no gateway runs.

In: an action. Out: its answer. Does I/O through its effects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stackctl.core.access.replies import AdminReply, parse_printed
from stackctl.core.machine.host import RuntimeName, choose_runtime
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.errors import RuntimeFailure
from stackctl.operations.effects import Effects
from stackctl.operations.site.load import load_site
from stackctl.operations.site.placement import choose_for_release
from stackctl.operations.site.render import build_plan, render_site
from stackctl.operations.site.state import load_state


def ask_program(effects: Effects, action: Mapping[str, Any]) -> tuple[AdminReply, RuntimeName]:
    """The answer of the gateway's program, run once beside no gateway, and the runtime that it ran in.

    Raises:
        RuntimeFailure: the program cannot be run, or its state not be opened.
    """
    loaded = load_site(effects)
    name = _choose_runtime(effects, loaded)
    runtime = effects.runtimes.make(name, loaded, "none")
    plan = build_plan(loaded, render_site(effects, loaded), name, "none")
    done = runtime.administer(plan, json.dumps(action), effects.terminal.report)
    reply = parse_printed(done.stdout)
    if done.code or reply is None:
        raise RuntimeFailure(
            f"The gateway's state could not be opened while it is stopped: {done.render_failure()}",
            "run 'stackctl up', and then the same again",
        )
    return reply, name


def _choose_runtime(effects: Effects, loaded: LoadedSite) -> RuntimeName:
    """The runtime whose state is meant: where the stack is, or where it would be started."""
    state = load_state(effects.files, effects.paths)
    if state is not None:
        return state.runtime
    wanted, _ = choose_for_release(loaded, loaded.settings.stack_runtime, "")
    return choose_runtime(effects.machine.load_host(wanted != "process"), wanted).value
