"""A client of the gateway for drills: one request, and everything that came of it. Does I/O: HTTP to loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from stackctl.core.drill.asks import Ask
from stackctl.core.drill.sightings import Received


@contextmanager
def open_drill_client(url: str, key: str, timeout_s: float) -> Iterator[Callable[[Ask], Received]]:
    """What sends a request to one gateway over pooled connections; may be called from several threads.

    Args:
        url: the gateway's base URL.
        timeout_s: longest silence that is waited through.
    """
    headers = {"authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    # Plain HTTP, so no certificate is looked at; reading the store would take 30 ms.
    with httpx.Client(
        base_url=url,
        headers=headers,
        timeout=timeout_s,
        limits=limits,
        trust_env=False,
        verify=False,  # noqa: S501
    ) as client:
        yield lambda ask: _send(client, ask)


def _send(client: httpx.Client, ask: Ask) -> Received:
    """Send one request and read its answer to the end, whatever the end is."""
    begun = time.monotonic()
    status, broke = 0, ""
    headers: dict[str, str] = {}
    parts: list[bytes] = []
    try:
        with client.stream("POST", ask.path, json=ask.body) as answer:
            status = answer.status_code
            headers = {name.lower(): value for name, value in answer.headers.items()}
            parts.extend(answer.iter_bytes())
    except httpx.TimeoutException:
        broke = "nothing came any more"
    except httpx.HTTPError as error:
        broke = str(error) or type(error).__name__
    text = b"".join(parts).decode("utf-8", "replace")
    return Received(status, headers, text, time.monotonic() - begun, broke)
