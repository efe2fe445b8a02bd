"""The answers of /v1/models, in OpenAI's and Anthropic's form at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.catalog.values import Route


def describe_route(name: str, route: Route, created: int) -> dict[str, Any]:
    """One entry of /v1/models.

    Args:
        name: name that the client would ask for: the route's own, or an alias.
        created: start of the gateway in seconds since 1970; model files have no such date that means anything.
    """
    entry: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "stack",
        "type": "model",
        "display_name": name,
        "created_at": datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
        "mode": route.mode,
    }
    if route.context_length is not None:
        entry["context_length"] = route.context_length
    if route.tools is not None:
        entry["supports_tools"] = route.tools
    if name != route.name:
        entry["alias_of"] = route.name
    return entry


def describe_models(named: Sequence[tuple[str, Route]], created: int) -> dict[str, Any]:
    """The whole answer of /v1/models for these names; ``created`` as in ``describe_route``."""
    return {
        "object": "list",
        "data": [describe_route(name, route, created) for name, route in named],
        "has_more": False,
        "first_id": named[0][0] if named else None,
        "last_id": named[-1][0] if named else None,
    }
