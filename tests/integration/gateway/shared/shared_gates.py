"""What the tests of gateways at one Redis ask of them and look at."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from stackctl.core.drill.behaviour import Behaviour
from tests.integration.gateway.gates import CHAT, TIMEOUT_S, Gate
from tests.waiting import wait_for

BODY = {"model": "chat", "messages": [{"role": "user", "content": "How far can you count?"}], "max_tokens": 80}

COUNTED_TOKENS = 11

NEVER_ENDS = Behaviour(hang="between_tokens")

Open = Callable[..., AbstractContextManager[Gate]]


def make_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def give_key(gate: Gate, name: str = "ada", **terms: Any) -> str:
    key = gate.create(name, **terms)
    for client in gate.clients:
        wait_for(partial(knows, client, key), "a worker to know the key")
    return key


def knows(client: httpx.Client, key: str) -> bool:
    return client.get("/v1/models", headers=build_headers(key)).status_code == 200


def build_headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ask(gate: Gate, key: str = "", **changes: Any) -> httpx.Response:
    return gate.clients[0].post(CHAT, json={**BODY, **changes}, headers=build_headers(key or gate.gateway.key))


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


def look(gate: Gate) -> dict[str, str]:
    """What the first worker says of its limits."""
    found = gate.clients[0].get("/health", headers=build_headers(gate.gateway.admin_key)).json()["limits"]
    assert isinstance(found, dict)
    return found


def wait_shared(gate: Gate) -> None:
    wait_for(lambda: look(gate)["status"] == "ok", "limits to be shared")


def read_log(gate: Gate) -> str:
    return gate.gateway.log.read_text(encoding="utf-8")
