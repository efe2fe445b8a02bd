"""Which models a caller may ask for. Pure.

A key names models by their served names, by aliases, or by patterns with ``*``. It may ask for a name that one of these
covers, and for a name whose route one of these covers: whoever may ask for ``local-chat`` may do so by an alias of it.
"""

from __future__ import annotations

from gateway.catalog.values import Catalog, Route, covers
from gateway.errors import ApiError, RefusedError
from gateway.state.values import Caller


def may_ask(caller: Caller, name: str, route: Route) -> bool:
    """Whether a caller may ask for a name that leads to this route."""
    models = caller.terms.models
    return not models or any(covers(model, name) or covers(model, route.name) for model in models)


def check_model(caller: Caller, name: str, route: Route) -> None:
    """Refuse a model that is not for this caller.

    Raises:
        RefusedError: 403.
    """
    if not may_ask(caller, name, route):
        text = f"This key may not ask for model '{name[:200]}'."
        raise RefusedError(ApiError(403, "model_not_allowed", text, "model"))


def can_answer(caller: Caller, route: Route) -> bool:
    """Whether a route has a target that may answer this caller."""
    return not is_local_only(caller, route) or any(target.provider.is_local for target in route.targets)


def is_local_only(caller: Caller, route: Route) -> bool:
    """Whether only providers in the building may answer."""
    return route.local_only or caller.terms.local_only


def list_models(catalog: Catalog, caller: Caller, with_aliases: bool = False) -> list[tuple[str, Route]]:
    """The names that a caller is shown, with their routes: those that it may ask for and that can answer it.

    Args:
        with_aliases: whether aliases stand among them too, a pattern as it is written: ``claude-*``.
    """
    named = list(catalog.routes.items())
    if with_aliases:
        named += [(alias.match, catalog.routes[alias.route]) for alias in catalog.aliases]
    shown = [(name, route) for name, route in named if may_ask(caller, name, route) and can_answer(caller, route)]
    # A key that may ask for one name of an alias alone would else be shown nothing.
    known = {name for name, _ in shown}
    for name in caller.terms.models:
        route = catalog.find(name) if "*" not in name and name not in known else None
        if route and can_answer(caller, route):
            shown.append((name, route))
    return shown
