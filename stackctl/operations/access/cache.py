"""See how much the gateway's cache holds, and remove answers from it. Does I/O through its effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stackctl.operations.access.administer import run_action
from stackctl.operations.access.route_names import check_route_names
from stackctl.operations.effects import Effects


@dataclass(frozen=True, slots=True)
class RouteAnswers:
    """The kept answers of one route: their number, and the bytes of their texts."""

    model: str
    answers: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CacheContent:
    """What is kept.

    Attributes:
        bytes: of the file that the answers take.
    """

    answers: int
    bytes: int
    models: tuple[RouteAnswers, ...]


def show_cache(effects: Effects) -> tuple[CacheContent, str]:
    """What is kept, and what ``Administered`` calls ``stopped_in``."""
    done = run_action(effects, {"do": "cache.show"})
    models = (RouteAnswers(item["model"], item["answers"], item["bytes"]) for item in done.body.get("models", ()))
    return CacheContent(int(done.body["answers"]), int(done.body["bytes"]), tuple(models)), done.stopped_in


def clear_cache(effects: Effects, route: str, key: str) -> tuple[int, str]:
    """Remove the answers of a route, those that a key asked for, those of both, or all where neither is named.

    Returns:
        Their number, and what ``Administered`` calls ``stopped_in``.

    Raises:
        ConfigError: there is no such route.
    """
    if route:
        check_route_names(effects, (route,))
    action: dict[str, Any] = {"do": "cache.clear"}
    action |= {"model": route} if route else {}
    action |= {"name": key} if key else {}
    done = run_action(effects, action)
    return int(done.body["removed"]), done.stopped_in
