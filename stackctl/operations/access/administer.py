"""Have the gateway do one action on its keys or its usage: the running gateway, or its program while it is stopped.

In: an action. Out: its answer. Does I/O through its effects. SQL about the state is the gateway's alone: while it runs
only it opens the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackctl.core.access.replies import AdminReply, explain_refusal
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.sources import check_secrets
from stackctl.operations.effects import Effects
from stackctl.operations.site.load_settings import load_settings

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
    if reply is not None:
        return reply, ""
    # With all that a stack is rendered from, which nobody needs who asks a gateway that runs.
    from stackctl.operations.access.stopped_gateway import ask_program

    return ask_program(effects, action)
