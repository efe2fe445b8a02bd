"""How many requests are answered at once, and how many more may wait. Does no I/O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from chat_api.exceptions.chat_exceptions import ChatServiceException

_RETRY_S = 2.0


class Places:
    """The places of one service, in the order in which they are asked for.

    Callers without a key, of whom there may be any number, have a share of them, so that they never stand in the way
    of those with one.

    Args:
        free_parallel: their share of ``parallel``; they have as large a one of ``queue``.

    Attributes:
        inside: requests that are answered or wait.
        free_inside: those of them that came without a key.
        running: requests that are at the gateway.
    """

    def __init__(self, parallel: int, queue: int, free_parallel: int) -> None:
        self.inside = self.free_inside = self.running = 0
        share = min(free_parallel, parallel)
        self._most, self._most_free = parallel + queue, share + queue * share // parallel
        self._places, self._free_places = asyncio.Semaphore(parallel), asyncio.Semaphore(share)

    @property
    def are_taken(self) -> bool:
        """Whether the next who asks for a place at the gateway has to wait."""
        return self._places.locked()

    @contextmanager
    def enter(self, is_free: bool) -> Iterator[None]:
        """Come in, to wait or to be answered.

        Args:
            is_free: whether the request came without a key.

        Raises:
            ChatServiceException: too many are inside.
        """
        if self.inside >= self._most or (is_free and self.free_inside >= self._most_free):
            raise ChatServiceException("queue_full", retry_after_s=_RETRY_S)
        self.inside += 1
        self.free_inside += is_free
        try:
            yield
        finally:
            self.inside -= 1
            self.free_inside -= is_free

    @asynccontextmanager
    async def take(self, is_free: bool) -> AsyncIterator[None]:
        """Wait for a place at the gateway."""
        async with AsyncExitStack() as stack:
            if is_free:
                await stack.enter_async_context(self._free_places)
            await stack.enter_async_context(self._places)
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1
