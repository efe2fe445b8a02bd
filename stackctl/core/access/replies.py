"""What the gateway answers to an action on its keys and its usage, and the error that a refusal becomes. Pure.

In: the answer of the running gateway, or what its offline program printed. Out: an ``AdminReply``, or a ``StackError``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackctl.errors import ConfigError, RuntimeFailure, StackError

# The longest part of a strange answer that is quoted.
_QUOTED = 200
_CONFLICT, _UNAVAILABLE = 409, 503


@dataclass(frozen=True, slots=True)
class AdminReply:
    """The answer to one action.

    Attributes:
        status: HTTP status, of the offline program too.
        body: the JSON object of the answer; empty where there was none.
    """

    status: int
    body: Mapping[str, Any]

    @property
    def error(self) -> Mapping[str, Any]:
        """What the gateway says is wrong; empty where it says nothing."""
        error = self.body.get("error")
        return error if isinstance(error, dict) else {}

    @property
    def code(self) -> str:
        """The stable word of the error; empty where there is none."""
        return str(self.error.get("code") or "")

    @property
    def is_absence(self) -> bool:
        """Whether what was named is not there; a gateway without this route says so in another way."""
        return self.status == 404 and self.code == "not_found" and self.error.get("param") == "name"


def parse_reply(status: int, text: str) -> AdminReply:
    """The answer of the running gateway; what is no JSON object becomes an empty body."""
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return AdminReply(status, body if isinstance(body, dict) else {})


def parse_printed(text: str) -> AdminReply | None:
    """The answer that the offline program printed; None where it printed something else."""
    try:
        printed = json.loads(text)
        return AdminReply(int(printed["status"]), dict(printed["body"]))
    except (ValueError, KeyError, TypeError):
        return None


def explain_refusal(reply: AdminReply) -> StackError:
    """The error for an answer that is no success: the gateway's own sentence, and one next step."""
    message = str(reply.error.get("message") or f"The gateway answered {reply.status}.")[:_QUOTED]
    if reply.status in (401, 403):
        return RuntimeFailure(
            "What listens on the gateway's port does not take this site's GATEWAY_ADMIN_KEY.",
            "run 'stackctl up': .env was changed since the stack was started, or another stack has the port",
        )
    if reply.status == 404 and not reply.is_absence:
        return RuntimeFailure(
            "What listens on the gateway's port knows no keys: it is an older gateway, or none of ours.",
            "run 'stackctl up': it restarts a gateway that has changed",
        )
    if reply.status == _CONFLICT:
        return ConfigError(
            message, "take another name; 'stackctl keys rotate NAME' gives a key a new secret, 'revoke' frees its name"
        )
    if reply.status == _UNAVAILABLE:
        return RuntimeFailure(
            message, "run 'stackctl doctor'; the gateway needs a folder that it can write, and a file that is whole"
        )
    if reply.status in (400, 404):
        return ConfigError(message, "run 'stackctl keys list' to see the keys" if reply.is_absence else "")
    return RuntimeFailure(message, "run 'stackctl logs api-gateway'")
