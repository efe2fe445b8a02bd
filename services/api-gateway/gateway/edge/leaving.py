"""Do a request's work while its client is there. Does I/O: hears when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.edge.asgi import WATCH, Receive, Scope
from gateway.edge.bodies import DisconnectedError
from gateway.edge.exchange import Exchange


async def do_until_left(work: Awaitable[None], scope: Scope, receive: Receive, exchange: Exchange) -> None:
    """Do the work while the client is there.

    Raises:
        DisconnectedError: the client left; the work was cancelled, which frees its slot.
    """
    task = asyncio.current_task()
    assert task is not None
    has_left = False

    def leave() -> None:
        nonlocal has_left
        if not exchange.is_complete:  # servers say so at the end of every answer: nobody left before it
            has_left = True
            task.cancel()

    watch = scope.get("extensions", {}).get(WATCH)
    stop = watch(leave) if watch else _watch_by_asgi(receive, leave)
    try:
        await work
    except asyncio.CancelledError:
        if not has_left:
            raise
        task.uncancel()
        raise DisconnectedError from None
    finally:
        stop()


def _watch_by_asgi(receive: Receive, leave: Callable[[], None]) -> Callable[[], object]:
    """What any server offers: a task for each request that waits for its end."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        leave()

    return asyncio.ensure_future(watch()).cancel
