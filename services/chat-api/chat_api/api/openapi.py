"""What the OpenAPI document says beyond what the routes' types do. Pure."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chat_api.dto.request import ChatRequest, SessionRequest
from chat_api.dto.response import ProblemDocument

TITLE, VERSION = "chat-api", "1.0.0"
DESCRIPTION = """Chat with the models of this stack, with sessions where the operator switched them on.

A key is a key of the gateway, in `openai_api_key` or as `Authorization: Bearer KEY`. With `free_mode` the service asks
with its own where none is sent. Errors are problem documents (RFC 9457); `code` is a stable word for programs."""
_REF = "#/components/schemas/{model}"
# Bodies that the routes read themselves, since FastAPI's own reading costs more than the rest of a request.
_BODIES: tuple[type[BaseModel], ...] = (ChatRequest, SessionRequest)
_OWNERS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of the gateway."},
    "session_token": {
        "type": "apiKey", "in": "header", "name": "X-Session-Token", "description": "Of an anonymous session.",
    },
}  # fmt: skip


def describe_body(model: type[BaseModel], is_required: bool = True) -> dict[str, Any]:
    """What a route says of a body that it reads itself."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": is_required, "content": {"application/json": {"schema": schema}}}}


def describe_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says of its failures; of those that every route has, too."""
    schema = {"$ref": _REF.format(model=ProblemDocument.__name__)}
    content = {"application/problem+json": {"schema": schema}}
    common = (403, 421, 500)
    return {status: {"description": "Problem", "content": content} for status in sorted({*statuses, *common})}


def build_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document."""
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    wanted = [(model, "validation") for model in _BODIES] + [(ProblemDocument, "serialization")]
    _, schemas = models_json_schema(wanted, ref_template=_REF)  # type: ignore[arg-type]
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas["$defs"])
    components["securitySchemes"] = _OWNERS
    return document
