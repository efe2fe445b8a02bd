"""Which apps there are, and which of them a site has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stackctl.core.apps.agents import AGENTS
from stackctl.core.apps.app import App, AppPlaces, AppService, GatewayLink
from stackctl.core.apps.chat_api import CHAT_API
from stackctl.core.apps.lan import LAN
from stackctl.core.apps.observability.app import OBSERVABILITY
from stackctl.core.apps.postgres import POSTGRES
from stackctl.core.apps.redis import REDIS
from stackctl.core.settings.settings import split_names

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

# In the order in which their services are listed.
APPS = (
    REDIS,
    POSTGRES,
    OBSERVABILITY,
    LAN,
    CHAT_API,
    AGENTS,
)


def choose_apps(settings: Settings) -> tuple[App, ...]:
    """The apps that STACK_APPS names."""
    names = split_names(settings.stack_apps)
    return tuple(app for app in APPS if app.name in names)


def list_app_services(settings: Settings, places: AppPlaces) -> tuple[AppService, ...]:
    """The services of a site's apps in one runtime."""
    return tuple(service for app in choose_apps(settings) for service in app.build(settings, places))


def render_app_files(settings: Settings, *runtimes: AppPlaces) -> Mapping[str, str]:
    """The files of a site's apps in these runtimes, text by name."""
    return {
        name: text
        for places in runtimes
        for app in choose_apps(settings)
        for name, text in app.render(settings, places).items()
    }


def link_apps(settings: Settings, places: AppPlaces) -> GatewayLink:
    """What the gateway is told of all apps of a site."""
    links = [app.link(settings, places) for app in choose_apps(settings)]
    return GatewayLink(
        {name: value for link in links for name, value in link.environment.items()},
        {name: value for link in links for name, value in link.secrets.items()},
    )


def list_image_settings(settings: Settings) -> Mapping[str, str]:
    """The setting that names the image of each service of a site's apps."""
    return {service: setting for app in choose_apps(settings) for service, setting in app.images.items()}


def list_own_services(settings: Settings) -> tuple[str, ...]:
    """The services of a site's apps that are the stack's own, as their folders below ``services`` are named."""
    return tuple(app.own for app in choose_apps(settings) if app.own)


def choose_app_images(settings: Settings) -> Mapping[str, str]:
    """The image of each service of a site's apps, as its setting names it; empty for one that is built here."""
    return {name: str(getattr(settings, setting.lower())) for name, setting in list_image_settings(settings).items()}
