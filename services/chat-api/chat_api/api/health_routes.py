"""/health/live, /health/ready and /metrics. Does I/O: asks the gateway."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from chat_api.api.openapi import describe_problems
from chat_api.api.parts import Parts
from chat_api.dto.response import ReadyState
from chat_api.telemetry.metrics import CONTENT_TYPE


def build_health_router(parts: Parts) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["health"])

    async def live() -> ReadyState:
        """Whether this process answers."""
        return ReadyState()

    async def ready() -> ReadyState:
        """Whether the gateway answers, and sessions can be kept where they are switched on."""
        await parts.client.check_ready()
        if parts.sessions:
            await parts.sessions.do(lambda connection: connection.run("SELECT 1"))
        return ReadyState()

    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(parts.metrics.render(), media_type=CONTENT_TYPE)

    router.add_api_route("/health/live", live, methods=["GET"])
    router.add_api_route("/health/ready", ready, methods=["GET"], responses=describe_problems(503))
    router.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    return router
