"""The gateway's server with an application that only leases slots, as a program for ``test_workers.py``.

``GET /hold?until=FILE`` says at once which worker answers, says ``leased`` when it holds one of two slots, and ends
when the client leaves or the file exists. ``GET /state`` says who leases and waits.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from gateway.edge.server import bind, serve, stop_on_signals
from gateway.queue.slots import SlotQueue
from gateway.settings import parse_settings

POLL_S = 0.02


class SlotApp:
    """An ASGI application that asks a queue for slots."""

    def __init__(self, slots: SlotQueue) -> None:
        self.slots = slots

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                await send({"type": f"{(await receive())['type']}.complete"})
        headers = [(b"x-worker", str(os.getpid()).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/state":
            lines = await self.slots.describe()
            state = {name: [line.slots, line.leased, line.waiting] for name, line in lines.items()}
            await send({"type": "http.response.body", "body": json.dumps(state).encode()})
            return
        await send({"type": "http.response.body", "body": b"asked ", "more_body": True})
        until = Path(parse_qs(scope["query_string"].decode())["until"][0])
        lease = await self.slots.acquire("engine", 2, 1, "key", 60.0)
        try:
            await send({"type": "http.response.body", "body": b"leased ", "more_body": True})
            await receive()
            leaving = asyncio.ensure_future(receive())
            while not until.exists() and not leaving.done():
                await asyncio.wait({leaving}, timeout=POLL_S)
            await send({"type": "http.response.body", "body": b"done"})
        finally:
            lease.release()


def main() -> int:
    """Serve until a signal arrives."""
    settings = parse_settings(os.environ)
    stop_on_signals()
    return serve(SlotApp, settings, bind(settings))


if __name__ == "__main__":
    sys.exit(main())
