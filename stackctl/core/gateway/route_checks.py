"""What must hold of routes beyond each key's own form: names that are served, ways that end, bounds. Pure.

In: `stack.yml` and what is known of each model behind the gateway. Out: findings, all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stackctl.core.gateway.routes import list_targets
from stackctl.core.settings.stackfile import DEFAULT_BOUNDS, Mode, Route, RouteDefaults, StackFile
from stackctl.errors import Finding, suggest_nearest

Problem = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a route must know of one model.

    Attributes:
        is_local: whether a request to it stays in the building.
        provider: name of the provider that serves it; empty for an engine of ours.
        context_length: tokens of prompt and answer together; ``None`` when unknown.
    """

    mode: Mode
    is_local: bool
    provider: str = ""
    context_length: int | None = None


def check_routes(stackfile: StackFile, models: Mapping[str, ModelFacts]) -> list[Finding]:
    """Check every route.

    Args:
        models: each model behind the gateway by its served name.
    """
    return [
        Finding(place, message, hint, file="stack.yml")
        for name, route in stackfile.routes.items()
        for place, message, hint in _check_route(stackfile, models, name, route)
    ]


def _check_route(stackfile: StackFile, models: Mapping[str, ModelFacts], name: str, route: Route) -> Iterator[Problem]:
    place = f"routes.{name}"
    served = {*models, *(other for other, item in stackfile.routes.items() if item.targets)}
    for other in dict.fromkeys((name, *route.others)):
        # In its own route a name stands for the model of that name.
        known = set(models) if other == name and other in route.others else served
        if other not in known:
            hint = suggest_nearest(other, known) or f"served are: {', '.join(sorted(known))}"
            yield place, f"'{other}' is no served name", hint
    for other in sorted({other for other in route.others if route.others.count(other) > 1}):
        yield place, f"'{other}' stands twice in it", "leave one of them out"
    if not route.targets and name in (route.fallbacks or ()):
        yield place, f"'{name}' falls back to itself", "name another model"
    ring = _find_ring(stackfile.routes, name)
    if ring:
        yield place, f"the fallbacks go round in a ring: {' -> '.join(ring)}", "leave one of them out"
    targets = {other: models[other] for other in list_targets(stackfile.routes, name) if other in models}
    if route.provider_key != "never" and targets and all(model.is_local for model in targets.values()):
        message = f"is {route.provider_key}, and every target is local: no provider could take such a key"
        yield f"{place}.provider_key", message, "remove it"
    if route.provider_key == "required" and route.cache:
        message = "keeps nothing: every request has its caller's own key, whose answers are that caller's alone"
        yield f"{place}.cache", message, f"remove it, or write {place}.provider_key: allowed"
    yield from _check_targets(place, name, route, models, targets)
    yield from _check_defaults(f"{place}.defaults", route.defaults, targets)


def _check_targets(
    place: str, name: str, route: Route, models: Mapping[str, ModelFacts], targets: Mapping[str, ModelFacts]
) -> Iterator[Problem]:
    """Check that all that is tried is for the same kind of requests, and local where it must be."""
    first = models.get(name) or next(iter(targets.values()), None)
    for other, model in targets.items():
        if first and model.mode != first.mode:
            message = f"'{name}' is for {first.mode} and its fallback '{other}' for {model.mode}"
            yield place, message, f"name a model for {first.mode}"
        if route.local_only and not model.is_local:
            message = f"is local_only, and '{other}' of the provider '{model.provider}' is not local"
            hint = f"leave it out, or add 'local: true' to providers.{model.provider} if it is in the building"
            yield f"{place}.local_only", message, hint


def _check_defaults(place: str, defaults: RouteDefaults, targets: Mapping[str, ModelFacts]) -> Iterator[Problem]:
    values = defaults.list_values()
    if values and any(model.mode != "chat" for model in targets.values()):
        yield place, "are for chat, which the route is not for", "remove them"
    for key, value in values.items():
        bounds = DEFAULT_BOUNDS[key]
        if not bounds.low <= value <= bounds.high:
            yield f"{place}.{key}", f"is {value}; expected {bounds.low} to {bounds.high}", f"correct {place}.{key}"
    limit = values.get("max_tokens", 0)
    for other, model in targets.items():
        if model.context_length is not None and limit > model.context_length:
            message = f"is {limit}; the context of '{other}' is {model.context_length} tokens"
            yield f"{place}.max_tokens", message, f"write at most {model.context_length}"
            break


def _find_ring(routes: Mapping[str, Route], start: str) -> tuple[str, ...]:
    """A way along routes from a name back to it, told once, from the first of its names; empty without one."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while ways:
        way = ways.pop()
        route = routes.get(way[-1])
        for other in route.others if route else ():
            if other == start and len(way) > 1:
                return (*way, start) if start == min(way) else ()
            if other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()
