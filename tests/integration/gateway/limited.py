"""How tests ask gateways that hold keys to limits: many requests at once, of a size that is known."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import httpx

from stackctl.core.drill.behaviour import Behaviour
from tests.integration.gateway.gates import CHAT, TIMEOUT_S, Gate
from tests.waiting import wait_for

BODY = {"model": "chat", "messages": [{"role": "user", "content": "How far can you count?"}], "max_tokens": 80}
# The stand-in counts 7 and 4.
COUNTED_TOKENS = 11
NEVER_ENDS = Behaviour(hang="between_tokens")


def give_key(gate: Gate, name: str = "ada", **terms: Any) -> str:
    """A new key that every worker knows."""
    key = gate.create(name, **terms)
    for client in gate.clients:
        wait_for(partial(knows, client, key), "a worker to know the key")
    return key


def knows(client: httpx.Client, key: str) -> bool:
    return client.get("/v1/models", headers=build_headers(key)).status_code == 200


def build_headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ask_at_once(asked: list[tuple[Gate, str]], number: int, **changes: Any) -> list[httpx.Response]:
    """Send requests to all gateways at the same time, each over a connection of its own."""

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits) as client:
            sent = [
                client.post(f"{gate.gateway.url}{CHAT}", json={**BODY, **changes}, headers=build_headers(key))
                for _ in range(number)
                for gate, key in asked
            ]
            return await asyncio.gather(*sent)

    return asyncio.run(run())


def count_answers(answers: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(answer.status_code for answer in answers))
