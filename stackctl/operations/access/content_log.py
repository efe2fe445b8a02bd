"""Have the gateway write down what is said on some routes for a time, end that, and see what is on.

In: names of routes. Out: what is on. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.core.settings.settings import Settings
from stackctl.core.stack.stack import find_gateway_url
from stackctl.core.text.moments import write_moment
from stackctl.errors import Finding, RuntimeFailure, Severity
from stackctl.operations.access.administer import Administered, run_action
from stackctl.operations.access.route_names import check_route_names
from stackctl.operations.effects import Effects
from stackctl.operations.site.load_settings import load_settings

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


def start_content_log(effects: Effects, models: Sequence[str], minutes: int) -> tuple[tuple[LoggedRoute, ...], str]:
    """Write down what is said on these routes; what is on then, and what ``Administered`` calls ``stopped_in``.

    Raises:
        ConfigError: there is no such route.
    """
    check_route_names(effects, [model for model in models if model != ALL])
    return _read(run_action(effects, {"do": "logging.start", "models": list(models), "minutes": minutes}))


def stop_content_log(effects: Effects, models: Sequence[str]) -> tuple[tuple[LoggedRoute, ...], str]:
    """Write nothing down any more of these routes; of none, where none are named."""
    return _read(run_action(effects, {"do": "logging.stop", **({"models": list(models)} if models else {})}))


def show_content_log(effects: Effects) -> tuple[tuple[LoggedRoute, ...], str]:
    """What is on."""
    return _read(run_action(effects, {"do": "logging.show"}))


def check_content_log(effects: Effects) -> tuple[Finding, ...]:
    """A warning for each route that the running gateway writes down; nothing where it cannot be asked.

    Raises:
        ConfigError: the site's settings cannot be read.
    """
    settings: Settings = load_settings(effects)[0].values
    url = find_gateway_url(settings)
    try:
        reply = effects.network.post_action(url, settings.gateway_admin_key, {"do": "logging.show"}, _ASK_S)
    except RuntimeFailure:
        return ()
    if reply is None or reply.status != 200:
        return ()
    hint = "run 'stackctl content-log stop' to end it now"
    routes = _parse(reply.body)
    return tuple(Finding("content-log", describe(route), hint, Severity.WARNING) for route in routes)


def describe(route: LoggedRoute) -> str:
    """What is written down, and until when, in one sentence."""
    name = "all routes" if route.model == ALL else f"'{route.model}'"
    because = "" if route.source == "operator" else f", because of {route.source}"
    return f"prompts and answers of {name} are written down, masked, until {write_moment(route.ends_at)}{because}"


def _read(done: Administered) -> tuple[tuple[LoggedRoute, ...], str]:
    return _parse(done.body), done.stopped_in


def _parse(body: Mapping[str, Any]) -> tuple[LoggedRoute, ...]:
    names = ("model", "started_at", "ends_at", "source")
    return tuple(LoggedRoute(**{name: item[name] for name in names}) for item in body.get("logging", ()))
