"""What one worker serves with: opened in its event loop, closed when it ends. Does I/O through what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from gateway.cache.store import Cache
from gateway.catalog.values import Route, Target
from gateway.formats.call import Call
from gateway.lanes.reply import Reply
from gateway.observe.content import ContentLog
from gateway.observe.usage import Recorder
from gateway.policy.keyring import KeyRing
from gateway.policy.refresher import KeyReader, Refresher
from gateway.queue.slots import SlotQueue, Slots
from gateway.routing.key_limits import KeyLimits
from gateway.shared.limits import SharedLimits
from gateway.state.database import Database, Place

Step = Callable[[], Awaitable[None]]


class Routing(Protocol):
    """What the gate hands checked requests to: ``Router``."""

    async def serve(self, call: Call, route: Route, reply: Reply) -> None:
        """See ``Router``."""

    async def describe(self, targets: Iterable[Target]) -> dict[str, Any]:
        """See ``Router``."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the gate works with.

    Attributes:
        slots: the arbiter of slots and limits.
        database: the gateway's state; None where it keeps none.
        keyring: the keys of the database; empty where there is none.
        refresher: keeps them those of the database; None where there is none.
        state_kind: what the state is in: ``sqlite``, ``postgresql`` or ``none``.
        key_limits: holds keys to their limits; None where there are none but those of the environment.
        recorder: writes what each request took; None where nothing is kept.
        content: logs what was said where the operator wants it.
        cache: keeps answers; None where no route wants it.
        sharing: counts limits together with other gateways; None where this one counts alone.
        openers: called before the worker's first request.
        closers: called in this order when the worker ends.
    """

    router: Routing
    slots: SlotQueue = field(default_factory=Slots)
    database: Database | None = None
    keyring: KeyRing = field(default_factory=KeyRing)
    refresher: Refresher | None = None
    state_kind: str = "none"
    key_limits: KeyLimits | None = None
    recorder: Recorder | None = None
    content: ContentLog = field(default_factory=ContentLog)
    cache: Cache | None = None
    sharing: SharedLimits | None = None
    openers: tuple[Step, ...] = ()
    closers: tuple[Step, ...] = ()

    async def open(self) -> None:
        """Read and begin what the first request needs; side by side, because a database that is away takes its time."""
        await asyncio.gather(*(begin() for begin in self.openers))

    async def close(self) -> None:
        """Finish what is under way and close everything."""
        for close in self.closers:
            await close()


def share(parts: Parts, sharing: SharedLimits) -> Parts:
    """The same parts with limits that are shared: reached while the others open, and closed last."""
    return replace(
        parts, sharing=sharing, openers=(sharing.open, *parts.openers), closers=(*parts.closers, sharing.close)
    )


def build_parts(
    router: Routing,
    slots: SlotQueue,
    state: Place | None,
    usage_days: int,
    closers: tuple[Step, ...] = (),
    content: ContentLog | None = None,
    cache: Cache | None = None,
) -> Parts:
    """The parts of a worker; called in its event loop.

    Args:
        slots: where the limits of keys are counted.
        state: where the database is; None where the gateway keeps none, or goes on without.
        usage_days: days after which records of usage are removed; 0 for never.
        closers: called before those of the state.
        content: logs what was said, from this database; None never does.
        cache: keeps answers, in a file of its own; None never does.
    """
    openers = (cache.open,) if cache else ()
    closers = (*closers, cache.close) if cache else closers
    if state is None:
        return Parts(router, slots, cache=cache, openers=openers, closers=closers)
    database, keyring = Database(state), KeyRing()
    refresher, recorder = Refresher(Database(state), keyring, KeyReader(state)), Recorder(Database(state), usage_days)
    content = content or ContentLog()
    is_file = isinstance(state, Path)
    # A server may be slow to answer, and others' usage is looked up there, which must not delay the operator's actions.
    budgets = database if is_file else Database(state)
    steps = (database.close,) if is_file else (budgets.close, database.close)
    return Parts(
        router,
        slots,
        database,
        keyring,
        refresher,
        "sqlite" if is_file else "postgresql",
        KeyLimits(slots, budgets, is_shared=not is_file),
        recorder,
        content,
        cache,
        openers=(*openers, database.open, refresher.open, recorder.open, content.open),
        closers=(*closers, content.close, recorder.close, refresher.close, *steps),
    )
