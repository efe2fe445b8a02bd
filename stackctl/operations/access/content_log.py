"""Have the gateway write down what is said on some routes for a time, end that, and see what is on.

In: names of routes. Out: what is on. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackctl.operations.access.administer import Administered, run_action
from stackctl.operations.access.logged_routes import ALL, LoggedRoute, parse_logged
from stackctl.operations.access.route_names import check_route_names

if TYPE_CHECKING:
    from stackctl.operations.effects import Effects


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


def _read(done: Administered) -> tuple[tuple[LoggedRoute, ...], str]:
    return parse_logged(done.body), done.stopped_in
