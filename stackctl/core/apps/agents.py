"""The app ``agents``: three agents with typed answers on top of the gateway. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.apps.app import App, AppPlaces, AppService, GatewayLink
from stackctl.core.apps.own_service import build_own_service, link_own_service

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

SERVICE = "agents"


def build_services(settings: Settings, places: AppPlaces) -> tuple[AppService, ...]:
    """The one service, which keeps nothing."""
    return (build_own_service(SERVICE, settings, places),)


def link_gateway(settings: Settings, places: AppPlaces) -> GatewayLink:
    """The service's key."""
    return link_own_service(SERVICE)


AGENTS = App(
    name="agents",
    programs=(),
    images={SERVICE: "AGENTS_IMAGE"},
    ports=("AGENTS_PORT",),
    published=("AGENTS_PORT",),
    build=build_services,
    link=link_gateway,
    own=SERVICE,
)
