"""The app ``chat-api``: a chat API with sessions on top of the gateway. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stackctl.core.apps.app import ANYWHERE, APPS_ALONE, App, AppPlaces, AppService, GatewayLink
from stackctl.core.apps.own_service import build_own_service, link_own_service
from stackctl.core.apps.postgres import CHAT_PASSWORD, POSTGRES, find_chats, keeps_chats

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

SERVICE = "chat-api"


def build_services(settings: Settings, places: AppPlaces) -> tuple[AppService, ...]:
    """The one service; it keeps sessions where it is told to, in its folder or at a database."""
    has_sessions, is_at_app = settings.chat_api_sessions == "disk", keeps_chats(settings)
    url = find_chats(settings, places) if is_at_app else settings.chat_api_database_url if has_sessions else ""
    reaches = "" if not url else APPS_ALONE if is_at_app or urlsplit(url).hostname == POSTGRES.name else ANYWHERE
    # Whom the gateway trusts beside the system's authorities, its database's server included.
    trusts = settings.gateway_ca_bundle if reaches == ANYWHERE else ""
    keeps = has_sessions and not url
    service = build_own_service(SERVICE, settings, places, keeps=keeps, reaches=reaches, trusts=trusts)
    if is_at_app:
        return (replace(service, environment={**service.environment, "CHAT_API_DATABASE_URL": url}),)
    return (replace(service, secrets={name: of for name, of in service.secrets.items() if name != CHAT_PASSWORD}),)


def link_gateway(settings: Settings, places: AppPlaces) -> GatewayLink:
    """The service's key."""
    return link_own_service(SERVICE)


CHAT_API = App(
    name="chat-api",
    programs=(),
    images={SERVICE: "CHAT_API_IMAGE"},
    ports=("CHAT_API_PORT",),
    published=("CHAT_API_PORT",),
    build=build_services,
    link=link_gateway,
    own=SERVICE,
)
