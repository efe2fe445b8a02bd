"""The application: its routes, its documents, its errors. Does I/O at its start and its end: opens connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp

from chat_api.api.chat_routes import build_chat_router
from chat_api.api.docs_routes import build_docs_router
from chat_api.api.edge import Edge
from chat_api.api.exception_handlers import add_exception_handlers
from chat_api.api.health_routes import build_health_router
from chat_api.api.openapi import TITLE, VERSION, build_document
from chat_api.api.parts import Parts
from chat_api.api.session_routes import build_session_router
from chat_api.api.system_routes import build_system_router
from chat_api.exceptions.chat_exceptions import ChatApiException
from chat_api.service.sessions import Sessions

_HOUR_S = 3600.0


def build_application(parts: Parts) -> ASGIApp:
    """The application, as a server calls it."""

    @asynccontextmanager
    async def live(_: FastAPI) -> AsyncIterator[None]:
        await parts.client.open()
        sweeper = asyncio.ensure_future(_sweep(parts.sessions)) if parts.sessions else None
        try:
            yield
        finally:
            if sweeper:
                sweeper.cancel()
            await parts.close()

    app = FastAPI(title=TITLE, version=VERSION, openapi_url=None, docs_url=None, redoc_url=None, lifespan=live,
                  redirect_slashes=False)  # fmt: skip
    routers = (build_chat_router(parts), build_session_router(parts), build_system_router(parts),
               build_health_router(parts), build_docs_router())  # fmt: skip
    for router in routers:
        app.include_router(router)
    add_exception_handlers(app)
    _add_document(app)
    return Edge(app, parts.settings.allowed_hosts, parts.metrics)


async def _sweep(sessions: Sessions) -> None:
    """Remove sessions that are too old, now and every hour."""
    while True:
        with contextlib.suppress(ChatApiException):  # which is in the log; the next hour is another
            await sessions.remove_unused()
        await asyncio.sleep(_HOUR_S)


def _add_document(app: FastAPI) -> None:
    made: dict[str, Any] = {}

    async def describe() -> Response:
        """The OpenAPI document."""
        if not made:
            made.update(build_document(app))
        return Response(orjson.dumps(made), media_type="application/json")

    app.add_api_route("/openapi.json", describe, methods=["GET"], include_in_schema=False)
