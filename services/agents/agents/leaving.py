"""Work that ends when its client leaves. Does I/O through ASGI's ``receive``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


async def run_while_wanted(work: Coroutine[Any, Any, T], request: Request) -> T:
    """Run it; as soon as the client is gone it is cancelled, and with it the request to the gateway.

    Args:
        request: its body has been read.

    Raises:
        ClientLeftError: the client left first.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_wait_gone(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _wait_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
