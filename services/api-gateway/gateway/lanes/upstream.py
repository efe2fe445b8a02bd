"""Ask the models' servers: sends a request and reads what refuses it. Does I/O: connects, sends, reads.

In: a ``Target``, a path and a body. Out: an ``Answer`` that says 200, or a ``TargetError`` that says what was seen.
Names are looked up for each connection, so that a server which comes back under a new address is found by the next
request; connections to this stack's engines are used once, because llama.cpp's server cuts used ones.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import orjson

from gateway.catalog.values import Target
from gateway.lanes.answer import Answer, read_whole
from gateway.lanes.plain import post_plain, takes_plain
from gateway.lanes.pooled import Pools
from gateway.lanes.refusals import classify_refusal
from gateway.outcomes import BROKEN_ANSWER, TargetError

_MAX_ERROR_BYTES, _MAX_ERROR_S = 256 * 1024, 5.0
# Names are looked up in threads of the event loop's pool, which has few: a name server that does not answer for one
# provider must not keep the engines' names from being looked up. Threads are started as they are needed.
_NAME_THREADS = 128


class Upstream:
    """The servers as one worker asks them; made in the event loop that asks.

    Args:
        trust: whom TLS servers are trusted by, as ``load_trust`` gives it.
    """

    def __init__(self, trust: ssl.SSLContext | bool = True) -> None:
        self._pools = Pools(trust)
        names = ThreadPoolExecutor(_NAME_THREADS, thread_name_prefix="names")
        asyncio.get_running_loop().set_default_executor(names)

    async def close(self) -> None:
        """Close every connection."""
        await self._pools.close()

    @asynccontextmanager
    async def post(self, target: Target, path: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """Send one request; gives the answer once its head is there and says 200.

        Raises:
            TargetError: the server cannot be reached, or refuses; also raised for what the caller meets while it reads.
        """
        send = post_plain if takes_plain(target) else self._pools.post
        async with send(target, path, {**_build_headers(target), **headers}, body) as answer:
            if answer.status != 200:
                raise classify_refusal(answer.status, answer.headers, await _read_error(answer))
            yield answer

    async def ask(self, target: Target, path: str, value: object, headers: Mapping[str, str]) -> dict[str, Any]:
        """Send a value as JSON; the JSON object that answers it.

        Raises:
            TargetError: as ``post``, or the answer is no JSON object.
        """
        async with self.post(target, path, orjson.dumps(value), headers) as response:
            body = await read_whole(response)
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise TargetError(BROKEN_ANSWER) from error
        if not isinstance(answer, dict):
            raise TargetError(BROKEN_ANSWER)
        return answer


def _build_headers(target: Target) -> dict[str, str]:
    headers = {"content-type": "application/json", "user-agent": "stack-gateway", **dict(target.headers)}
    if target.provider.speaks_anthropic:
        headers.setdefault("anthropic-version", "2023-06-01")
        if target.key:
            headers["x-api-key"] = target.key
    elif target.key:
        headers["authorization"] = f"Bearer {target.key}"
    return headers


async def _read_error(answer: Answer) -> bytes:
    """The body of a refusal, cut where it gets absurd; what breaks while it is read does not matter."""
    body = b""
    try:
        async with asyncio.timeout(_MAX_ERROR_S):
            while len(body) < _MAX_ERROR_BYTES and (piece := await answer.read()):
                body += piece
    except (TimeoutError, TargetError):
        pass
    return body
