"""What the routes of one service share. Does no I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from chat_api.config.settings import Settings, StoreSettings
from chat_api.external.gateway_client import GatewayClient
from chat_api.service.asking import Asker
from chat_api.service.chat_service import ChatService
from chat_api.service.fitting import Fitter
from chat_api.service.sessions import Sessions
from chat_api.store.database import Database, FileServer, Server
from chat_api.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Parts:
    """One service.

    Attributes:
        sessions: where turns are kept, in ``database``; None for a service that keeps none.
        started: when it was started, by the monotonic clock.
    """

    settings: Settings
    client: GatewayClient
    asker: Asker
    chat: ChatService
    metrics: Metrics
    sessions: Sessions | None = None
    database: Database | None = None
    started: float = field(default_factory=time.monotonic)

    async def close(self) -> None:
        """Close what is open."""
        await self.client.close()
        if self.database:
            await self.database.close()


def build_parts(settings: Settings) -> Parts:
    """Put a service together. Opens its database, where it has one, and nothing else.

    Raises:
        StoreError: the database cannot be used.
        OSError: the certificate authorities cannot be read.
    """
    client = GatewayClient(settings.gateway_url, settings.ca_bundle)
    asker = Asker(client, settings.gateway_key, settings.free_key, settings.takes_provider_keys)
    database = _open_database(settings.store) if settings.store.is_on else None
    sessions = Sessions(database, settings.store.days, settings.store.most_free) if database else None
    chat = ChatService(settings, asker, Fitter(client, asker, settings.summarises), sessions)
    metrics = Metrics()
    metrics.watch("chat_api_requests_inside", "Chat requests that are answered or wait.", lambda: chat.places.inside)
    metrics.watch("chat_api_requests_running", "Chat requests at the gateway.", lambda: chat.places.running)
    metrics.watch("chat_api_cached_answers", "Answers that the cache had.", lambda: chat.cache.hits)
    return Parts(settings, client, asker, chat, metrics, sessions, database)


def _open_database(store: StoreSettings) -> Database:
    def connect() -> Server:
        if not store.database_url:
            return FileServer(Path(store.folder))
        from chat_api.store.postgres import PostgresServer

        return PostgresServer(store.database_url, store.database_password, store.ca_bundle)

    database = Database(connect)
    database.open_here()
    return database
