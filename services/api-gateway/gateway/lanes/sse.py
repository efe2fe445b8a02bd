"""Server-sent events as bytes: cut a stream at the ends of events, and read single events. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

DONE = b"[DONE]"
_LONGEST_END = len(b"\r\n\r\n")


class EventCutter:
    """Cuts what arrives at the end of its last whole event, and keeps the rest for the next piece."""

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit_bytes: int = 16 * 1024 * 1024) -> None:
        self._rest = bytearray()
        self._limit = limit_bytes

    def feed(self, data: bytes) -> bytes:
        """All whole events so far, with their line ends as they came; empty when none is whole yet.

        Raises:
            ValueError: one event is longer than the limit.
        """
        if not self._rest and data.endswith(b"\n\n"):  # nearly always
            return data
        # What was kept was searched before: a server that never ends a line must not cost more with each piece of it.
        searched = max(len(self._rest) - _LONGEST_END + 1, 0)
        self._rest += data
        plain, dos = self._rest.rfind(b"\n\n", searched), self._rest.rfind(b"\r\n\r\n", searched)
        end = max(plain + 2 if plain >= 0 else 0, dos + 4 if dos >= 0 else 0)
        block = bytes(self._rest[:end])
        del self._rest[:end]
        if len(self._rest) > self._limit:
            raise ValueError("event too long")
        return block

    @property
    def has_rest(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._rest.strip())


def split_events(block: bytes) -> list[bytes]:
    """The events of a block, each without the empty line at its end; comments and empty ones are left out."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    return [event for event in block.split(b"\n\n") if event.strip() and not event.startswith(b":")]


def read_event(event: bytes) -> tuple[str, bytes]:
    """Name and data of one event; several data lines are joined by line ends."""
    if event.startswith(b"data: ") and b"\n" not in event:  # OpenAI's, always
        return "", event[6:]
    name, data = "", []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data.append(value)
    return name, b"\n".join(data)


def iterate_json(block: bytes) -> Iterator[tuple[str, dict[str, Any] | None, bytes]]:
    """Name, JSON object and bytes of each event of a block; the object is None for ``[DONE]``.

    Raises:
        ValueError: the data of an event is no JSON object.
    """
    for event in split_events(block):
        name, data = read_event(event)
        if data.strip() == DONE:
            yield name, None, event
        elif data:
            value = orjson.loads(data)
            if not isinstance(value, dict):
                raise ValueError("event is no JSON object")
            yield name, value, event


def write_event(value: Any, name: str = "") -> bytes:
    """One event with this value as JSON."""
    head = b"event: %s\n" % name.encode() if name else b""
    return b"%sdata: %s\n\n" % (head, orjson.dumps(value))
