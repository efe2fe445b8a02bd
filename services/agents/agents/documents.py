"""The OpenAPI document: what FastAPI knows of the routes, and the problems that each may answer with. Pure."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from agents.problems import KINDS, MEDIA_TYPE, ProblemDocument

_ELSEWHERE = frozenset({"not_found", "method_not_allowed", "internal_error"})
_VERSION = "1"


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The document of all routes that the application has by now."""
    from fastapi.openapi.utils import get_openapi

    document = get_openapi(title="agents", version=_VERSION, routes=app.routes, description=_DESCRIPTION)
    parts = document["components"]
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    parts["schemas"] |= {**problem.pop("$defs"), "ProblemDocument": problem}
    parts["securitySchemes"] = {"gatewayKey": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1/"):
                operation["responses"] = {"200": operation["responses"]["200"], **_list_problems()}
                operation["security"] = [{"gatewayKey": []}]
            elif path == "/health/ready":
                operation["responses"]["503"] = {"description": "The gateway does not answer."}
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    return document


def _list_problems() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for code, (status, english, _) in sorted(KINDS.items(), key=lambda item: item[1][0]):
        if code in _ELSEWHERE:
            continue
        reference = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
        about = found.setdefault(str(status), {"description": "", "content": {MEDIA_TYPE: reference}})
        about["description"] = f"{about['description']} `{code}`: {english}".strip()
    return found


_DESCRIPTION = (
    "Three agents on top of the gateway. Every call is made with a key of the gateway, and answers with a typed result "
    "and how it came about; what cannot be answered is a problem document (RFC 9457)."
)
