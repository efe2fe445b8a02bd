"""Whether names are those of routes of this stack. Does I/O through its effects."""

from __future__ import annotations

from collections.abc import Iterable

from stackctl.errors import ConfigError, suggest_nearest
from stackctl.operations.effects import Effects
from stackctl.operations.site.load import load_site


def check_route_names(effects: Effects, names: Iterable[str]) -> None:
    """Refuse a name that is no route's.

    Raises:
        ConfigError: there is no such route; names the nearest, or the route of an alias.
    """
    gateway = load_site(effects).choose_stack("process").gateway
    known = {*(route.name for route in gateway.routes), *(item.served_name for item in gateway.deployments)}
    for name in names:
        if name not in known:
            alias = next((item.route for item in gateway.aliases if item.match == name), "")
            hint = f"name its route '{alias}'" if alias else suggest_nearest(name, known)
            raise ConfigError(f"There is no route '{name}' in this stack.", hint or "run 'stackctl models'")
