"""``POST /admin``: the operator's actions, asked for over HTTP. Does I/O: the request, the database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.admin.actions import explain_no_state, parse_order
from gateway.admin.cache import do_on_cache
from gateway.edge.bodies import parse_object, read_body
from gateway.edge.exchange import Exchange
from gateway.edge.parts import Parts
from gateway.errors import ApiError, RefusedError
from gateway.state.connection import StateError

if TYPE_CHECKING:
    from gateway.edge.asgi import Receive, Scope

MAX_BODY_BYTES = 256 * 1024
NOT_STORED = (b"cache-control", b"no-store")


def check_no_page(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse what a web page sends, whatever key it has: browsers name its origin with every POST.

    Raises:
        RefusedError: 403.
    """
    if any(name == b"origin" for name, _ in headers):
        raise RefusedError(ApiError(403, "no_web_pages", "This route answers no web page; use stackctl."))


async def administer(exchange: Exchange, parts: Parts, scope: Scope, receive: Receive, state_path: str) -> None:
    """Do the action that the body asks for, and answer with its result.

    Args:
        state_path: folder of the gateway's state; empty where it keeps none.

    Raises:
        RefusedError: it cannot be done; nothing was changed.
    """
    order = parse_order(parse_object(await read_body(receive, scope["headers"], MAX_BODY_BYTES)))
    exchange.action = order.name
    if order.is_of_cache:
        await exchange.answer_json(await asyncio.to_thread(do_on_cache, order.name, order.fields, state_path))
        return
    if parts.database is None:
        raise RefusedError(explain_no_state())
    try:
        if order.writes:
            result = await parts.database.write(order.job)
            if parts.refresher:
                await parts.refresher.refresh()
        else:
            result = await parts.database.read(order.job)
    except StateError as error:
        raise RefusedError(explain_no_state(str(error))) from error
    # Taken from the result, because what was sent as a name may be anything.
    if key := result.get("key"):
        exchange.subject = key["name"]
    await exchange.answer_json(result)
