"""Where services listen, from the settings alone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings


def find_gateway_place(settings: Settings) -> str:
    """Host and port of the gateway as this machine reaches it, as a URL writes them."""
    # An unspecified address is listened on, never connected to.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind_address, settings.bind_address)  # noqa: S104
    return f"{f'[{host}]' if ':' in host else host}:{settings.api_gateway_port}"


def find_gateway_url(settings: Settings) -> str:
    """Base URL of the gateway as this machine reaches it, without a trailing slash."""
    return f"http://{find_gateway_place(settings)}"
