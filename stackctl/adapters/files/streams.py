"""Move bytes with reading, hashing and writing side by side: the interpreter's lock is free in all three.

In: pieces of bytes. Out: the same pieces, fetched ahead, or their digest. Starts threads; reads only what it is given.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# Small enough for the processor's cache, large enough that switching threads costs little.
PIECE_BYTES = 2 << 20
DEPTH = 6
_WAIT_S = 0.1

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], depth: int = DEPTH) -> Iterator[Item]:
    """Fetch the same items ahead in a thread; its errors are raised here, at their place.

    Args:
        depth: number of items that may wait; times ``PIECE_BYTES`` it is the memory this takes.
    """
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put((item, error), timeout=_WAIT_S)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
            put(None, StopIteration())
        except BaseException as error:  # it belongs to whoever consumes
            put(None, error)

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


class HashThread:
    """Hashes pieces in their order in a thread, at most ``DEPTH`` of them behind."""

    def __init__(self) -> None:
        """Start the thread; nothing is hashed yet."""
        self._digest = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1, "hash")
        self._jobs: deque[Future[None]] = deque()

    def add(self, piece: bytes) -> None:
        """Hash the next piece; it must not change any more."""
        if len(self._jobs) == DEPTH:
            self._jobs.popleft().result()
        self._jobs.append(self._pool.submit(self._digest.update, piece))

    def finish(self) -> str:
        """SHA-256 of all pieces, in hexadecimal."""
        self._pool.shutdown()
        return self._digest.hexdigest()

    def __enter__(self) -> HashThread:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)
