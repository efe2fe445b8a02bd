"""A load generator that costs little itself: raw HTTP/1.1 over asyncio, one connection a request, loopback only.

The client shares the machine with what it measures, so both sides of a ratio are measured with the same client.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Attributes:
        port: of this machine.
        headers: that a server wants beside the key.
        end: what a whole stream has near its end.
    """

    port: int
    key: str
    headers: tuple[tuple[str, str], ...] = ()
    path: str = "/v1/chat/completions"
    end: bytes = b"[DONE]"


@dataclass(frozen=True)
class Outcome:
    """One request: seconds to the first streamed event and to the end, events seen, and whether it was whole."""

    first_s: float
    total_s: float
    events: int
    ok: bool


@dataclass(frozen=True)
class Load:
    """Many requests by some clients at once.

    Attributes:
        wall_s: from the first request to the last answer.
    """

    outcomes: tuple[Outcome, ...]
    wall_s: float

    @property
    def requests_per_s(self) -> float:
        """Whole answers a second."""
        return sum(outcome.ok for outcome in self.outcomes) / self.wall_s

    @property
    def events_per_s(self) -> float:
        """Streamed events, which are tokens but for the first and last of an answer, a second."""
        return sum(outcome.events for outcome in self.outcomes) / self.wall_s

    @property
    def first_s(self) -> float:
        """Median time to the first event."""
        return median(outcome.first_s for outcome in self.outcomes)

    @property
    def failures(self) -> int:
        """Requests without a whole answer."""
        return sum(not outcome.ok for outcome in self.outcomes)


def run_load(target: Target, body: dict[str, Any], clients: int, requests: int) -> Load:
    """``clients`` at once send ``requests`` in all."""
    return asyncio.run(_run(target, body, clients, requests))


async def _run(target: Target, body: dict[str, Any], clients: int, requests: int) -> Load:
    left = iter(range(requests))
    outcomes: list[Outcome] = []

    async def work() -> None:
        for _ in left:  # one at a time: the next request is taken when the last one is answered
            outcome = await _ask(target, body)
            outcomes.append(outcome)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return Load(tuple(outcomes), time.perf_counter() - started)


async def _ask(target: Target, body: dict[str, Any]) -> Outcome:
    data = json.dumps(body).encode()
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {target.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in target.headers)
        + "\r\n"
    )
    started = time.perf_counter()
    first = 0.0
    events = 0
    seen = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(head.encode() + data)
        while chunk := await asyncio.wait_for(reader.read(65_536), 120):
            if not first and (b"data: " in chunk or not body.get("stream")):
                first = time.perf_counter() - started
            events += chunk.count(b"data: ")
            seen = (seen + chunk)[-4096:] if body.get("stream") else seen + chunk
        writer.close()
    except (OSError, TimeoutError):
        return Outcome(first, time.perf_counter() - started, events, False)
    ok = target.end in seen if body.get("stream") else seen.startswith(b"HTTP/1.1 200")
    return Outcome(first, time.perf_counter() - started, events, ok)
