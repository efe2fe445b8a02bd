"""The paths that the gateway answers; nothing else answers. Pure.

In: a request's path. Out: the ``Endpoint``, or ``None``, which is a 404 for everyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.page.render import FILES

MODELS_PATH = "/v1/models"


class Access(Enum):
    """Who may call an endpoint."""

    OPEN = "open"
    ANY_KEY = "any key"
    ADMIN_KEY = "admin key"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path.

    Attributes:
        name: path as logs and metrics show it, without anything a client chose.
        method: the only HTTP method it takes, HEAD aside where that is GET.
        format: format of its requests and answers; empty where no model is asked.
        mode: mode of the models that it is for: ``chat``, ``embedding`` or ``rerank``.
        is_anthropic: whether its errors have Anthropic's form.
        is_for_people: whether it is what a person's browser shows, which is given to no other origin, and only under
            the gateway's own names.
    """

    name: str
    method: str
    access: Access = Access.ANY_KEY
    format: str = ""
    mode: str = "chat"
    is_anthropic: bool = False
    is_for_people: bool = False


PAGE = Endpoint("/", "GET", Access.OPEN, is_for_people=True)
USAGE = Endpoint("/usage", "GET", is_for_people=True)
ONE_MODEL = Endpoint(f"{MODELS_PATH}/{{model}}", "GET")
ADMIN = Endpoint("/admin", "POST", Access.ADMIN_KEY)
ENDPOINTS = {
    endpoint.name: endpoint
    for endpoint in (
        Endpoint("/v1/chat/completions", "POST", format="chat"),
        Endpoint("/v1/completions", "POST", format="completions"),
        Endpoint("/v1/embeddings", "POST", format="embeddings", mode="embedding"),
        Endpoint("/v1/rerank", "POST", format="rerank", mode="rerank"),
        Endpoint("/v1/responses", "POST", format="responses"),
        Endpoint("/v1/responses/input_tokens", "POST", format="responses_count"),
        Endpoint("/v1/messages", "POST", format="messages", is_anthropic=True),
        Endpoint("/v1/messages/count_tokens", "POST", format="messages_count", is_anthropic=True),
        Endpoint(MODELS_PATH, "GET"),
        Endpoint("/health", "GET"),
        Endpoint("/health/liveliness", "GET", Access.OPEN),
        Endpoint("/health/liveness", "GET", Access.OPEN),
        Endpoint("/health/readiness", "GET", Access.OPEN),
        Endpoint("/metrics", "GET", Access.ADMIN_KEY),
        USAGE,
        ADMIN,
    )
}
_PAGES = {"/": PAGE} | {
    f"/page/{file}": Endpoint(f"/page/{file}", "GET", Access.OPEN, is_for_people=True) for file in FILES
}


def find_endpoint(path: str) -> Endpoint | None:
    """The endpoint at exactly this path."""
    if path.startswith(f"{MODELS_PATH}/") and len(path) > len(MODELS_PATH) + 1:
        return ONE_MODEL
    return ENDPOINTS.get(path) or _PAGES.get(path)
