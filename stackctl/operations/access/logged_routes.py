"""Routes whose prompts and answers the running gateway writes down: what is on, for people.

In: the gateway's answer. Out: values, findings. Does I/O through its effects: asks the running gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stackctl.core.settings.places import find_gateway_url
from stackctl.core.text.moments import write_moment
from stackctl.errors import Finding, RuntimeFailure, Severity

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings
    from stackctl.operations.effects import Effects

ALL = "*"
_ASK_S = 3.0


@dataclass(frozen=True, slots=True)
class LoggedRoute:
    """A route whose content is written down.

    Attributes:
        model: its served name; ``*`` for all.
        started_at, ends_at: in seconds since 1970.
        source: ``operator``, or the setting that switched it on.
    """

    model: str
    started_at: float
    ends_at: float
    source: str


def check_content_log(effects: Effects, settings: Settings) -> tuple[Finding, ...]:
    """A warning for each route that the running gateway writes down; nothing where it cannot be asked."""
    url = find_gateway_url(settings)
    try:
        reply = effects.network.post_action(url, settings.gateway_admin_key, {"do": "logging.show"}, _ASK_S)
    except RuntimeFailure:
        return ()
    if reply is None or reply.status != 200:
        return ()
    hint = "run 'stackctl content-log stop' to end it now"
    routes = parse_logged(reply.body)
    return tuple(Finding("content-log", describe(route), hint, Severity.WARNING) for route in routes)


def describe(route: LoggedRoute) -> str:
    """What is written down, and until when, in one sentence."""
    name = "all routes" if route.model == ALL else f"'{route.model}'"
    because = "" if route.source == "operator" else f", because of {route.source}"
    return f"prompts and answers of {name} are written down, masked, until {write_moment(route.ends_at)}{because}"


def parse_logged(body: Mapping[str, Any]) -> tuple[LoggedRoute, ...]:
    """The routes that an answer of the gateway names."""
    names = ("model", "started_at", "ends_at", "source")
    return tuple(LoggedRoute(**{name: item[name] for name in names}) for item in body.get("logging", ()))
