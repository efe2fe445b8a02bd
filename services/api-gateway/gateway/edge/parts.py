"""What one worker serves with: opened in its event loop, closed when it ends. Does I/O through what it holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.catalog.values import Route, Target
from gateway.formats.call import Call
from gateway.lanes.reply import Reply
from gateway.state.database import Database


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
        database: the gateway's state; None where it keeps none.
        closers: called in this order when the worker ends.
    """

    router: Routing
    database: Database | None = None
    closers: tuple[Callable[[], Awaitable[None]], ...] = ()

    async def close(self) -> None:
        """Finish what is under way and close everything."""
        for close in self.closers:
            await close()
