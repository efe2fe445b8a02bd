"""What is tried for requests to each served name: targets in order, retries and one deadline. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackctl.core.gateway.aliases import matches_alias
from stackctl.core.gateway.config import GatewayAlias, GatewayRoute
from stackctl.core.settings.stackfile import Route, RouteCache, StackFile

_NO_ROUTE = Route()


def list_route_names(stackfile: StackFile, models: Iterable[str]) -> tuple[str, ...]:
    """Every name that clients may ask for: the models' own, then those of routes that stand for others.

    Args:
        models: served names of all models.
    """
    return tuple(dict.fromkeys((*models, *(name for name, route in stackfile.routes.items() if route.targets))))


def list_targets(routes: Mapping[str, Route], name: str) -> tuple[str, ...]:
    """The models that are tried for a name, in order, each once.

    A name in a route stands for all that its own route tries, so that fallbacks have fallbacks; in its own route it
    stands for the model of that name.
    """
    found: dict[str, None] = {}
    seen: set[str] = set()
    left = [(name, False)]
    while left:
        current, is_model = left.pop()
        if is_model:
            found.setdefault(current)
        elif current not in seen:  # what was seen has been found, or is in a ring, which a check tells of
            seen.add(current)
            route = routes.get(current, _NO_ROUTE)
            others = (*(route.targets or (current,)), *(route.fallbacks or ()))
            left += [(other, other == current) for other in reversed(others)]
    return tuple(found)


def list_asked(stackfile: StackFile, models: Iterable[str], name: str) -> tuple[str, ...]:
    """The models that a request for any name is tried at, in order: a served one's, or those that an alias leads to.

    Args:
        models: served names of all models.
    """
    if name not in list_route_names(stackfile, models):
        name = next((other for match, other in stackfile.aliases.items() if matches_alias(match, name)), name)
    return list_targets(stackfile.routes, name)


def build_routes(stackfile: StackFile, models: Iterable[str], deadline_s: float) -> tuple[GatewayRoute, ...]:
    """A route for each served name, those of models first.

    Args:
        models: served names of all models.
        deadline_s: seconds for all tries together, where a route says nothing else.
    """
    return tuple(_build_route(stackfile, name, deadline_s) for name in list_route_names(stackfile, models))


def _build_route(stackfile: StackFile, name: str, deadline_s: float) -> GatewayRoute:
    route = stackfile.routes.get(name, _NO_ROUTE)
    return GatewayRoute(
        name=name,
        targets=list_targets(stackfile.routes, name),
        retries=stackfile.limits.retries if route.retries is None else route.retries,
        deadline_s=deadline_s if route.deadline is None else route.deadline,
        is_local_only=route.local_only,
        defaults=route.defaults.list_values(),
        provider_key=route.provider_key,
        cache=_build_cache(route.cache) if route.cache else None,
    )


def _build_cache(cache: RouteCache) -> dict[str, Any]:
    return {"when": cache.when, "max_age_s": cache.max_age, "shared": cache.shared}


def build_aliases(stackfile: StackFile) -> tuple[GatewayAlias, ...]:
    """The other names, in the file's order."""
    return tuple(GatewayAlias(match, route) for match, route in stackfile.aliases.items())
