"""A client that reads more slowly than its server writes gets every byte, and nobody holds them for it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
import uvicorn
from gateway.catalog.parse import parse_catalog
from gateway.edge.connection import Connection
from gateway.edge.gate import Gate
from gateway.edge.parts import Parts
from gateway.lanes.upstream import Upstream
from gateway.queue.slots import Slots
from gateway.routing.breaker import Breaker
from gateway.routing.router import Router
from gateway.settings import parse_settings

from tests.gateway_calls import CLIENT, ENVIRONMENT

PIECES, PIECE = 600, "x" * 50_000
CONFIG = """
model_list:
  - model_name: mine
    litellm_params: {model: openai/mine, api_base: "http://127.0.0.1:PORT/v1", api_key: key}
    model_info: {mode: chat}
gateway:
  providers: {server: {kind: KIND, local: true, fresh_connections: FRESH}}
  models: {mine: {provider: server}}
  routes: {mine: {targets: [mine], retries: 0, deadline_s: 60}}
"""


def write_chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = b"data: %s\n\n" % orjson.dumps({"id": "c", "model": "mine", "choices": [choice]})
    return b"%x\r\n%b\r\n" % (len(event), event)


class Server:
    """Streams a long answer as fast as it is taken; ``sent`` pieces so far."""

    def __init__(self) -> None:
        self.sent = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for self.sent in range(1, PIECES + 1):
            writer.write(write_chunk({"content": PIECE}))
            await writer.drain()
        writer.write(write_chunk({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def gateway_of(port: int, kind: str) -> AsyncIterator[int]:
    """The port of a gateway before the server at this one."""
    fresh = str(kind == "engine").lower()
    catalog = parse_catalog(CONFIG.replace("PORT", str(port)).replace("KIND", kind).replace("FRESH", fresh), {})

    def open_parts() -> Parts:
        upstream = Upstream()
        return Parts(Router(upstream, Slots(), Breaker(), 10.0), closers=(upstream.close,))

    gate = Gate(parse_settings(ENVIRONMENT), catalog, open_parts)
    server = uvicorn.Server(uvicorn.Config(gate, port=0, http=Connection, log_config=None, lifespan="on"))
    running = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def read_slowly(kind: str) -> bytes:
    """The body as it came, of a client that begins to read when its server can write no more."""
    server = Server()
    async with (
        await asyncio.start_server(server.answer, "127.0.0.1", 0) as listener,
        gateway_of(listener.sockets[0].getsockname()[1], kind) as port,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        body = orjson.dumps({"model": "mine", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\nconnection: close\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (CLIENT.encode(), len(body), body)
        )
        before = 0
        while not server.sent or before < server.sent:
            before = server.sent
            await asyncio.sleep(0.5)
        assert server.sent < PIECES / 2, "somebody holds the answer"
        answer = await reader.read()
        writer.close()
        return answer


@pytest.mark.parametrize("kind", ["engine", "openai-compatible"])
def test_a_client_that_reads_late_gets_everything_and_its_server_waits(kind: str) -> None:
    answer = asyncio.run(asyncio.wait_for(read_slowly(kind), 60))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(PIECE.encode()) == PIECES
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
