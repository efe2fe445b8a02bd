"""Move bytes with reading, hashing and writing side by side: the interpreter's lock is free in all three."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

# Small enough for a core's cache, large enough that switching threads costs nothing.
PIECE_BYTES = 1 << 20
DEPTH = 8
_WAIT_S = 0.1

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], depth: int = DEPTH) -> Iterator[Item]:
    """The same items, fetched ahead in a thread; its errors are raised here, at their place.

    Args:
        depth: items that may wait; with pieces of ``PIECE_BYTES`` the memory this takes.
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
