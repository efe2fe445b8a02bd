"""The application: its routes, its documents, its errors. Does I/O at its start and its end: opens connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp

from chat_api.api.chat_routes import build_chat_router
from chat_api.api.edge import Edge
from chat_api.api.exception_handlers import add_exception_handlers
from chat_api.api.health_routes import build_health_router
from chat_api.api.openapi import build_document
from chat_api.api.parts import Parts

TITLE, VERSION = "chat-api", "1.0.0"


def build_application(parts: Parts) -> ASGIApp:
    """The application, as a server calls it."""

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        await parts.client.open()
        try:
            yield
        finally:
            await parts.client.close()

    app = FastAPI(title=TITLE, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None, lifespan=live,
                  redirect_slashes=False)  # fmt: skip
    for router in (build_chat_router(parts), build_health_router(parts)):
        app.include_router(router)
    add_exception_handlers(app)
    _add_document(app)
    return Edge(app, parts.settings.allowed_hosts, parts.metrics)


def _add_document(app: FastAPI) -> None:
    made: dict[str, Any] = {}

    async def describe() -> Response:
        """The OpenAPI document."""
        if not made:
            made.update(build_document(app))
        return Response(orjson.dumps(made), media_type="application/json")

    app.add_api_route("/openapi.json", describe, methods=["GET"], include_in_schema=False)
