"""/docs: Swagger UI from files of this environment; nothing is loaded from elsewhere. Does I/O: reads them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from chat_api.exceptions.chat_exceptions import ValidationException

_TYPES: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
# Swagger UI sets styles in attributes; its script and everything else are this service's own.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>chat-api</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<main id="ui"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_START = b"""SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null,
  tryItOutEnabled: true, requestSnippetsEnabled: true, persistAuthorization: false});
"""


def build_docs_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    async def page() -> Response:
        return Response(_PAGE, headers={"content-security-policy": _CSP}, media_type="text/html; charset=utf-8")

    async def file(name: str) -> Response:
        headers = {"cache-control": "private, max-age=3600"}
        if name == "start.js":
            return Response(_START, headers=headers, media_type="text/javascript; charset=utf-8")
        if name not in _TYPES:
            raise ValidationException("not_found")
        return Response(_read(name), headers=headers, media_type=_TYPES[name])

    router.add_api_route("/docs", page, methods=["GET"])
    router.add_api_route("/docs/{name}", file, methods=["GET"])
    return router


@functools.cache
def _read(name: str) -> bytes:
    return (resources.files("fastapi_offline") / "static" / name).read_bytes()
