"""Answers that are made while the client is there. Does I/O: the answer, and hearing that the client left.

Written to ASGI's ``send`` at once: Starlette's own streaming has a task group and an iterator for each answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from chat_api.api.bodies import LeftError

STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
JSON_HEADERS = {"content-type": "application/json"}


class Reply:
    """One answer as it is written.

    Attributes:
        has_begun: whether its head was sent.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = self.is_complete = False

    async def begin(self, headers: dict[str, str]) -> None:
        """Send the head, with status 200."""
        listed = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        self.has_begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": listed})

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece."""
        self.is_complete = True
        await self._send({"type": "http.response.body", "body": data})

    async def whole(self, data: bytes, headers: dict[str, str]) -> None:
        """Send everything."""
        await self.begin({**headers, "content-length": str(len(data))})
        await self.end(data)


class LiveResponse(Response):
    """A response whose work begins when it is sent, and ends when the client leaves."""

    def __init__(self, work: Callable[[Reply], Awaitable[None]]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by Starlette."""
        reply = Reply(send)
        task = asyncio.current_task()
        assert task is not None
        has_left = False

        def leave() -> None:
            nonlocal has_left
            if not reply.is_complete:  # servers say so at the end of every answer: nobody left before it
                has_left = True
                task.cancel()

        watcher = asyncio.ensure_future(_watch(receive, leave))
        try:
            await self._work(reply)
        except asyncio.CancelledError:
            if not has_left:
                raise
            task.uncancel()
            raise LeftError from None
        finally:
            watcher.cancel()


async def _watch(receive: Receive, leave: Callable[[], None]) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()
    leave()
