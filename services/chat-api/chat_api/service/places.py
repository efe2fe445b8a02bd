"""How many requests are answered at once, and how many more may wait. Does no I/O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from chat_api.exceptions.chat_exceptions import ChatServiceException

_RETRY_S = 2.0


class Places:
    """The places of one service, in the order in which they are asked for.

    Attributes:
        inside: requests that are answered or wait.
        running: requests that are at the gateway.
    """

    def __init__(self, parallel: int, queue: int) -> None:
        self.inside = self.running = 0
        self._most = parallel + queue
        self._free = asyncio.Semaphore(parallel)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Come in, to wait or to be answered.

        Raises:
            ChatServiceException: too many are inside.
        """
        if self.inside >= self._most:
            raise ChatServiceException("queue_full", retry_after_s=_RETRY_S)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a place at the gateway."""
        async with self._free:
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1
