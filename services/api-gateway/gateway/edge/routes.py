"""The routes that the gateway answers; nothing else answers. Pure.

In: a request's path. Out: the ``Route``, or ``None``, which is a 404 for everyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MODELS_PATH = "/v1/models"

# Where the gate leaves the caller's role in the ASGI scope for LiteLLM's side to read.
SCOPE_ROLE = "gateway.role"


class Access(Enum):
    """Who may call a route."""

    OPEN = "open"
    ANY_KEY = "any key"
    ADMIN_KEY = "admin key"


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Attributes:
        name: path as logs and metrics show it, without anything a client chose.
        method: the only HTTP method the route takes; the gate answers GET itself and hands POST to LiteLLM.
        mode: mode of the models that the route is for: ``chat``, ``embedding`` or ``rerank``.
        is_anthropic: whether errors on this route have Anthropic's form.
    """

    name: str
    method: str
    access: Access = Access.ANY_KEY
    mode: str = "chat"
    is_anthropic: bool = False


ONE_MODEL = Route(f"{MODELS_PATH}/{{model}}", "GET")
_ROUTES = {
    route.name: route
    for route in (
        Route("/v1/chat/completions", "POST"),
        Route("/v1/completions", "POST"),
        Route("/v1/embeddings", "POST", mode="embedding"),
        Route("/v1/rerank", "POST", mode="rerank"),
        Route("/v1/responses", "POST"),
        Route("/v1/messages", "POST", is_anthropic=True),
        Route("/v1/messages/count_tokens", "POST", is_anthropic=True),
        Route(MODELS_PATH, "GET"),
        Route("/health", "GET"),
        Route("/health/liveliness", "GET", Access.OPEN),
        Route("/health/liveness", "GET", Access.OPEN),
        Route("/health/readiness", "GET", Access.OPEN),
        Route("/metrics", "GET", Access.ADMIN_KEY),
    )
}
LITELLM_PATHS = frozenset(route.name for route in _ROUTES.values() if route.method == "POST")


def find_route(path: str) -> Route | None:
    """The route at exactly this path; a trailing slash or a missing ``/v1`` is another path."""
    if path.startswith(f"{MODELS_PATH}/") and len(path) > len(MODELS_PATH) + 1:
        return ONE_MODEL
    return _ROUTES.get(path)
