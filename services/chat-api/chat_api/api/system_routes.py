"""GET /api/v1/system/info. Does I/O: the machine's figures and the gateway's."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter

from chat_api.api.openapi import TITLE, VERSION, describe_problems
from chat_api.api.parts import Parts
from chat_api.dto.response import SystemInfo
from chat_api.exceptions.chat_exceptions import ChatApiException
from chat_api.service.asking import blame_service
from chat_api.telemetry.system_info import MachineReader


def build_system_router(parts: Parts) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["system"])
    reader = MachineReader()

    async def describe() -> SystemInfo:
        """What runs here and how busy it is. Says nothing of who asks what."""
        gateway, models = await _ask_gateway(parts)
        return SystemInfo(
            service={
                **reader.describe_service(parts.started, TITLE, VERSION),
                "sessions": "disk" if parts.sessions else "off",
                "requests_inside": parts.chat.places.inside,
                "requests_running": parts.chat.places.running,
            },
            machine=reader.describe_machine(),
            gateway=gateway,
            models=models,
            gpus=reader.list_gpus(),
        )

    router.add_api_route("/api/v1/system/info", describe, methods=["GET"], response_model=SystemInfo,
                         responses=describe_problems())  # fmt: skip
    return router


async def _ask_gateway(parts: Parts) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The gateway's state and its models, as far as the service's own key sees them."""
    key = parts.settings.gateway_key
    try:
        if not key:
            await parts.client.check_ready()
            return {"status": "ok"}, []
        health, models = await asyncio.gather(parts.client.describe_health(key), parts.client.list_models(key))
    except ChatApiException as failure:
        return {"status": blame_service(failure).code}, []
    states = {target.get("model"): target.get("state") for target in health.get("targets") or ()}
    slots = health.get("slots") or {}
    return {"status": str(health.get("status", "ok")), "slots": slots}, [_describe(model, states) for model in models]


def _describe(model: dict[str, Any], states: dict[Any, Any]) -> dict[str, Any]:
    name = model.get("alias_of") or model.get("id")
    named = ("id", "mode", "context_length", "alias_of")
    return {field: model[field] for field in named if field in model} | {"state": states.get(name, "unknown")}
