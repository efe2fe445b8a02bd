"""/docs: Swagger UI from files of this environment; nothing is loaded from elsewhere. Does I/O: reads them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Final

from fastapi import FastAPI
from starlette.responses import Response

from agents.problems import ProblemError

_TYPES: Final[Mapping[str, str]] = {
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
_FILE_HEADERS: Final[Mapping[str, str]] = {"cache-control": "private, max-age=3600"}
# Swagger UI sets styles in attributes; its script and everything else are this service's own.
_PAGE_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>agents</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<main id="ui"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
# A key that was typed in is forgotten with the page; schemas are long and stay closed.
_START: Final = b"""SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null,
  tryItOutEnabled: true, persistAuthorization: false, defaultModelsExpandDepth: 0});
"""


def add_docs(app: FastAPI) -> None:
    """The routes."""

    @app.get("/docs", include_in_schema=False)
    async def show() -> Response:
        return Response(_PAGE, headers=dict(_PAGE_HEADERS), media_type="text/html; charset=utf-8")

    @app.get("/docs/{name}", include_in_schema=False)
    async def load(name: str) -> Response:
        if name not in _TYPES:
            raise ProblemError("not_found")
        content = _START if name == "start.js" else _read(name)
        return Response(content, headers=dict(_FILE_HEADERS), media_type=_TYPES[name])


@functools.cache
def _read(name: str) -> bytes:
    return (resources.files("fastapi_offline") / "static" / name).read_bytes()
