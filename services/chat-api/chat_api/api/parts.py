"""What the routes of one service share. Does no I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from chat_api.config.settings import Settings
from chat_api.external.gateway_client import GatewayClient
from chat_api.service.asking import Asker
from chat_api.service.chat_service import ChatService
from chat_api.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Parts:
    """One service.

    Attributes:
        started: when it was started, by the monotonic clock.
    """

    settings: Settings
    client: GatewayClient
    asker: Asker
    chat: ChatService
    metrics: Metrics
    started: float = field(default_factory=time.monotonic)


def build_parts(settings: Settings) -> Parts:
    """Put a service together; nothing is opened yet."""
    client = GatewayClient(settings.gateway_url, settings.ca_bundle)
    asker = Asker(client, settings.gateway_key, settings.takes_provider_keys)
    chat = ChatService(settings, asker)
    metrics = Metrics()
    metrics.watch("chat_api_requests_inside", "Chat requests that are answered or wait.", lambda: chat.places.inside)
    metrics.watch("chat_api_requests_running", "Chat requests at the gateway.", lambda: chat.places.running)
    return Parts(settings, client, asker, chat, metrics)
