"""What is tried for requests to each served name: targets in order, retries and one deadline. Pure."""

from __future__ import annotations

from stackctl.core.gateway.config import GatewayRoute
from stackctl.core.settings.stackfile import StackFile


def build_routes(stackfile: StackFile, served_names: tuple[str, ...], deadline_s: float) -> tuple[GatewayRoute, ...]:
    """A route for each served name, in that order.

    Args:
        deadline_s: seconds for all tries together.
    """
    return tuple(_build_route(stackfile, name, deadline_s) for name in served_names)


def _build_route(stackfile: StackFile, name: str, deadline_s: float) -> GatewayRoute:
    route = stackfile.routes.get(name)
    return GatewayRoute(
        name=name,
        targets=(name, *(route.fallbacks if route else ())),
        retries=stackfile.limits.retries,
        deadline_s=deadline_s,
    )
