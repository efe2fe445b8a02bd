"""What every worker is to serve with, known before they are forked. Does I/O through what it opens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.cache.store import Cache
from gateway.cache.store import Plan as CachePlan
from gateway.catalog.values import Catalog
from gateway.edge.gate import Gate
from gateway.edge.parts import Parts, build_parts, share
from gateway.lanes.upstream import Upstream
from gateway.observe.content import ContentLog
from gateway.queue.slots import SlotQueue
from gateway.routing.breaker import Breaker
from gateway.routing.router import Router
from gateway.settings import Settings
from gateway.shared.limits import SharedLimits
from gateway.state.database import Database, Place
from gateway.state.postgres import PostgresServer


@dataclass(frozen=True, slots=True)
class GatePlan:
    """Makes the application of one worker, which opens its parts once its event loop runs.

    Attributes:
        trust: whom TLS servers are trusted by.
        state: where the database is; None for a gateway that keeps nothing.
        cache: where answers are kept; None where no route wants it.
    """

    settings: Settings
    catalog: Catalog
    trust: ssl.SSLContext | bool
    state: Place | None
    cache: CachePlan | None

    def build_gate(self, slots: SlotQueue) -> Gate:
        """The application of the worker that has these slots."""
        return Gate(self.settings, self.catalog, partial(self._open_parts, slots))

    def _open_parts(self, slots: SlotQueue) -> Parts:
        upstream, sharing = Upstream(self.trust), self._share_limits(slots)
        counted = sharing or slots
        router = Router(upstream, counted, Breaker(), self.catalog.queue_wait_s)
        cache = Cache(self.cache) if self.cache else None
        days, closers = self.settings.usage_days, (upstream.close,)
        parts = build_parts(router, counted, self.state, days, closers, self._build_content_log(), cache)
        return share(parts, sharing) if sharing else parts

    def _share_limits(self, slots: SlotQueue) -> SharedLimits | None:
        place = self.settings.redis
        if place is None:
            return None
        trust = self.trust if isinstance(self.trust, ssl.SSLContext) else ssl.create_default_context()
        is_recorded = isinstance(self.state, PostgresServer)
        return SharedLimits(slots, place, trust if place.has_tls else None, is_recorded)

    def _build_content_log(self) -> ContentLog:
        if self.state is None:
            return ContentLog()
        secrets = (*self.settings.keys.values(), *self.catalog.secrets)
        return ContentLog(Database(self.state), Path(self.settings.state.path), self.catalog.content, secrets)
