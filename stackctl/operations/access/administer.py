"""Have the gateway do one action on its keys or its usage: the running gateway, or its program while it is stopped.

In: an action. Out: its answer. Does I/O through its effects. SQL about the state is the gateway's alone: while it runs
only it opens the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackctl.core.access.replies import AdminReply, explain_refusal, parse_printed
from stackctl.core.machine.host import RuntimeName, choose_runtime
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.sources import check_secrets
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.errors import RuntimeFailure
from stackctl.operations.effects import Effects
from stackctl.operations.site.load import load_site
from stackctl.operations.site.load_settings import load_settings
from stackctl.operations.site.placement import choose_for_release
from stackctl.operations.site.render import build_plan, render_site
from stackctl.operations.site.state import load_state

ACTION_S = 30.0


@dataclass(frozen=True, slots=True)
class Administered:
    """What an action gave.

    Attributes:
        body: the answer.
        stopped_in: the runtime whose state was opened, because no gateway runs; empty where the gateway answered.
    """

    body: Mapping[str, Any]
    stopped_in: str = ""


def run_action(effects: Effects, action: Mapping[str, Any], timeout_s: float = ACTION_S) -> Administered:
    """Do one action.

    Raises:
        ConfigError: the gateway refuses what was asked; has its own words.
        RuntimeFailure: the gateway hangs or cannot use its state, or its program cannot be run.
    """
    reply, stopped_in = ask(effects, action, timeout_s)
    if reply.status != 200:
        raise explain_refusal(reply)
    return Administered(reply.body, stopped_in)


def ask(effects: Effects, action: Mapping[str, Any], timeout_s: float = ACTION_S) -> tuple[AdminReply, str]:
    """The answer to one action, also where it is a refusal, and what ``Administered`` calls ``stopped_in``.

    Raises:
        RuntimeFailure: no answer came.
    """
    settings = load_settings(effects)[0].values
    check_secrets(settings, ".env")
    url = find_gateway_url(settings)
    reply = effects.network.post_action(url, settings.gateway_admin_key, action, timeout_s)
    return (reply, "") if reply is not None else _ask_program(effects, action)


def _ask_program(effects: Effects, action: Mapping[str, Any]) -> tuple[AdminReply, RuntimeName]:
    """The answer of the gateway's program, run once beside no gateway, and the runtime that it ran in."""
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
