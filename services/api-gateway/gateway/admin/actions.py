"""Every action by its name, and how one is run. Does I/O through a database.

Those on kept answers have a file of their own; see ``gateway.admin.cache``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.admin import content_logging, keys, usage
from gateway.admin.cache import CACHE_ACTIONS
from gateway.admin.fields import Fields
from gateway.errors import ApiError, RefusedError
from gateway.state.connection import Connection, Job

# Takes the action's fields, returns the answer's; raises RefusedError, which undoes what it wrote.
Work = Callable[[Connection, Fields], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Action:
    """What can be asked for.

    Attributes:
        writes: whether it changes the database.
    """

    work: Work
    writes: bool


ACTIONS: Mapping[str, Action] = {
    "keys.create": Action(keys.create, writes=True),
    "keys.change": Action(keys.change, writes=True),
    "keys.list": Action(keys.list_, writes=False),
    "keys.show": Action(keys.show, writes=False),
    "keys.revoke": Action(keys.revoke, writes=True),
    "keys.rotate": Action(keys.rotate, writes=True),
    "usage.report": Action(usage.report, writes=False),
    "logging.start": Action(content_logging.start, writes=True),
    "logging.stop": Action(content_logging.stop, writes=True),
    "logging.show": Action(content_logging.show, writes=False),
}


@dataclass(frozen=True, slots=True)
class Order:
    """One action with its fields."""

    name: str
    fields: Fields

    @property
    def is_of_cache(self) -> bool:
        """Whether it works on the file of kept answers, not on the database: ``do_on_cache`` does it."""
        return self.name in CACHE_ACTIONS

    @property
    def writes(self) -> bool:
        """Whether it changes the database."""
        return ACTIONS[self.name].writes

    @property
    def job(self) -> Job[dict[str, Any]]:
        """What a database does for it."""
        return lambda connection: ACTIONS[self.name].work(connection, self.fields)


def parse_order(body: Mapping[str, Any]) -> Order:
    """The action that a body of ``{"do": NAME, ...}`` asks for.

    Raises:
        RefusedError: 400, there is no such action.
    """
    name = body.get("do")
    if not isinstance(name, str) or name not in {*ACTIONS, *CACHE_ACTIONS}:
        text = f"Field 'do' must name an action: {', '.join((*ACTIONS, *CACHE_ACTIONS))}."
        raise RefusedError(ApiError(400, "invalid_parameter", text, "do"))
    return Order(name, {field: value for field, value in body.items() if field != "do"})


def explain_no_state(reason: str = "this gateway keeps none") -> ApiError:
    """503 where the state cannot be used."""
    return ApiError(503, "state_unavailable", f"There is no database to do this in: {reason}.")
