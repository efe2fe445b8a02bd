"""Queues of either kind for tests: within one process, and over the socket of an arbiter."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

from gateway.queue.arbiter import Arbiter
from gateway.queue.remote import RemoteSlots
from gateway.queue.slots import SlotQueue, Slots

OpenQueue = Callable[[int], AbstractAsyncContextManager[SlotQueue]]


@contextlib.contextmanager
def run_arbiter(length: int, workers: int) -> Iterator[list[socket.socket]]:
    """An arbiter in a thread, as the parent of workers runs it; gives the workers' ends."""
    arbiter = Arbiter(length)
    stop, waker = socket.socketpair()
    arbiter.wake_on(waker)
    channels = [arbiter.connect() for _ in range(workers)]
    is_stopping = threading.Event()

    def serve() -> None:
        while not is_stopping.is_set():
            arbiter.serve(None)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield channels
    finally:
        is_stopping.set()
        stop.send(b"x")
        thread.join()
        arbiter.close()
        stop.close()


@contextlib.asynccontextmanager
async def open_local(length: int) -> AsyncIterator[SlotQueue]:
    yield Slots(length)


@contextlib.asynccontextmanager
async def open_remote(length: int) -> AsyncIterator[SlotQueue]:
    with run_arbiter(length, 1) as (channel,):
        slots = RemoteSlots(channel, lambda: None)
        await slots.open()
        yield slots
        slots.close()
