"""Clients of the gateway for long runs: many at once, some of which leave. Does I/O: HTTP to loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp

from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import Ask
from stackctl.core.drill.sightings import Received

T = TypeVar("T")

# No request of these runs may take longer: it would be a hang.
HANG_S = 60.0


@asynccontextmanager
async def open_session(gateway: DrillGateway) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with as many pooled connections as it wants."""
    headers = {"authorization": f"Bearer {gateway.key}"}
    timeout = aiohttp.ClientTimeout(total=HANG_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(gateway.url, headers=headers, timeout=timeout, connector=connector) as session:
        yield session


async def send(
    session: aiohttp.ClientSession,
    ask: Ask,
    content: str = "",
    leaves_after_s: float = 0.0,
    headers: Mapping[str, str] | None = None,
) -> Received:
    """Send a request and read its answer to the end.

    Args:
        content: text of the question, where it is to be known again; for chats.
        leaves_after_s: when the client closes its connection, whatever it has seen by then; 0: never.
        headers: of the request, beside the session's.
    """
    body = ask.body | ({"messages": [{"role": "user", "content": content}]} if content else {})
    begun = time.monotonic()
    status, broke = 0, ""
    seen: dict[str, str] = {}
    parts: list[bytes] = []
    try:
        async with (
            asyncio.timeout(leaves_after_s or None),
            session.post(ask.path, json=body, headers=headers) as answer,
        ):
            status = answer.status
            seen = {name.lower(): value for name, value in answer.headers.items()}
            while part := await answer.content.readany():
                parts.append(part)
    except TimeoutError:
        broke = "left" if leaves_after_s else "hung"
    except (aiohttp.ClientError, OSError) as error:
        broke = type(error).__name__
    text = b"".join(parts).decode("utf-8", "replace")
    return Received(status, seen, text, time.monotonic() - begun, broke)


async def run_pool(jobs: Iterable[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """Run all jobs, so many at a time; their results in no order."""
    waiting = iter(jobs)

    async def work() -> list[T]:
        return [await job() for job in waiting]

    return [result for results in await asyncio.gather(*(work() for _ in range(at_once))) for result in results]
