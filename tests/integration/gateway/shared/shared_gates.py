"""What the tests of gateways at one Redis ask of them and look at."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx

from tests.integration.gateway.gates import CHAT, Gate
from tests.integration.gateway.limited import BODY, build_headers
from tests.waiting import wait_for

Open = Callable[..., AbstractContextManager[Gate]]


def make_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def ask(gate: Gate, key: str = "", **changes: Any) -> httpx.Response:
    return gate.clients[0].post(CHAT, json={**BODY, **changes}, headers=build_headers(key or gate.gateway.key))


def look(gate: Gate) -> dict[str, str]:
    """What the first worker says of its limits."""
    found = gate.clients[0].get("/health", headers=build_headers(gate.gateway.admin_key)).json()["limits"]
    assert isinstance(found, dict)
    return found


def wait_shared(gate: Gate) -> None:
    wait_for(lambda: look(gate)["status"] == "ok", "limits to be shared")


def read_log(gate: Gate) -> str:
    return gate.gateway.log.read_text(encoding="utf-8")
