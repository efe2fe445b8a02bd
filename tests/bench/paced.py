"""``python -m tests.bench.paced PORT SECONDS TOKENS``: a server that streams at a fixed pace until it is killed.

What a gateway costs shows best before a server whose own work is not on the same cores: here every stream has 100
tokens, one each 10 ms, unless said otherwise, and costs next to nothing. A request for one token at most is answered at
once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

TOKENS, PACE_S = 100, 0.01

_CHUNK = b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"paced","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'  # noqa: E501
_USAGE = b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"paced","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":100,"total_tokens":109}}'  # noqa: E501


def _frame(event: bytes) -> bytes:
    data = b"data: " + event + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TOKEN = _frame(_CHUNK % (b'{"content":"word "}', b"null"))
_END = _frame(_CHUNK % (b"{}", b'"stop"')) + _frame(_USAGE) + _frame(b"[DONE]") + b"0\r\n\r\n"


async def _answer(pace_s: float, tokens: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            body = json.loads(await reader.readexactly(int(length.partition(b":")[2])))
            if body.get("max_tokens") == 1:
                writer.write(_HEAD + _TOKEN + _END)
            else:
                await _stream(writer, pace_s, tokens)
            if b"connection: close" in head:
                break
    writer.close()


async def _stream(writer: asyncio.StreamWriter, pace_s: float, tokens: int) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    writer.write(_HEAD)
    for place in range(tokens):
        await asyncio.sleep(max(0.0, start + place * pace_s - loop.time()))
        writer.write(_TOKEN)
        await writer.drain()
    writer.write(_END)
    await writer.drain()


@contextlib.contextmanager
def run_paced(port: int, pace_s: float = PACE_S, tokens: int = TOKENS) -> Iterator[None]:
    """Run the server until the end of the block; so many tokens a stream, ``pace_s`` seconds apart."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.paced", str(port), str(pace_s), str(tokens)])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


async def _serve(port: int, pace_s: float, tokens: int) -> None:
    server = await asyncio.start_server(partial(_answer, pace_s, tokens), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
