"""Requests to the agents and to the gateway, and their errors as ``AgentsError``. Does I/O: HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2

from agents_client.errors import AgentsError


def open_client(base_url: str, key: str, timeout_s: float) -> httpx2.AsyncClient:
    """Connections to one server; without a proxy, because it stands in the same house.

    Raises:
        AgentsError: the key cannot stand in a header.
    """
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AgentsError("the key is not usable; expected a key of the gateway, without spaces", "key_refused")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=timeout_s, trust_env=False)


async def send(client: httpx2.AsyncClient, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The answer's JSON.

    Raises:
        AgentsError: nobody answered, or not with 200.
    """
    try:
        # ASCII can write half a surrogate pair, which a terminal may have given: the server refuses it in words.
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        answer = await client.request(method, path, content=content, headers=headers)
    except httpx2.HTTPError as error:
        text = f"{client.base_url} does not answer ({type(error).__name__}); is it started, and is its address right?"
        raise AgentsError(text, "unreachable") from error
    try:
        found = answer.json()
    except ValueError:
        found = {}
    if answer.status_code != 200:
        raise _describe(answer.status_code, found if isinstance(found, dict) else {})
    return found


def _describe(status: int, found: dict[str, Any]) -> AgentsError:
    """A problem document of the agents, or an error of the gateway, which has OpenAI's form."""
    error = found.get("error")
    if isinstance(error, dict):
        return AgentsError(str(error.get("message") or f"HTTP {status}"), str(error.get("code") or ""), status, error)
    return AgentsError(str(found.get("title") or f"HTTP {status}"), str(found.get("code") or ""), status, found)
