"""A provider of ours that fails on demand: an HTTP server on loopback, in a thread of its own.

In: how each model is to be served. Out: its address, and what it has seen. Does I/O: sockets of loopback only. The
standard library serves it, because it runs where ``stackctl`` does.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from stackctl.adapters.http.stand_in_requests import RequestReader
from stackctl.core.drill.behaviour import Behaviour, Close, Pause, Send, StandInRequest
from stackctl.core.drill.faults import find_behaviour
from stackctl.core.drill.replies import build_reply

LOOPBACK = "127.0.0.1"
# Requests of one model that are remembered whole; older ones are only counted.
REMEMBERED = 64


@dataclass
class Seen:
    """What came for one model.

    Attributes:
        count: requests.
        requests: the last of them, whole.
        open: requests that are being answered now.
        most_at_once: the largest ``open`` so far.
        left: requests whose client was gone before the answer had ended.
    """

    count: int = 0
    requests: deque[StandInRequest] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    open: int = 0
    most_at_once: int = 0
    left: int = 0


class StandIn:
    """One running stand-in.

    A model is served as it was scripted, else as its name says (faults.py), else well. Each model is counted by itself,
    so that several tests may share one server. Methods may be called from any thread.

    Attributes:
        url: base URL without a path.
        connections: how many were made so far.
    """

    def __init__(self, url: str, choose: Callable[[StandInRequest, int], Behaviour | None]) -> None:
        self.url = url
        self.connections = 0
        self._choose = choose
        self._scripts: dict[str, list[Behaviour]] = {}
        self._seen: defaultdict[str, Seen] = defaultdict(Seen)
        self._total = Seen()

    def script(self, model: str, *behaviours: Behaviour) -> None:
        """Serve the next requests for this model so, one after another, and all that follow like the last."""
        self._scripts[model] = list(behaviours)

    def seen(self, model: str) -> Seen:
        """What came for this model so far."""
        return self._seen[model]

    @property
    def total(self) -> Seen:
        """What came for all models together."""
        return self._total

    def begin(self, request: StandInRequest) -> Behaviour:
        """Count a request, and say how it is answered. Called by the server."""
        for seen in (self._total, self._seen[request.model]):
            seen.count += 1
            seen.open += 1
            seen.most_at_once = max(seen.most_at_once, seen.open)
            seen.requests.append(request)
        return self._choose(request, self._total.count) or self._take_script(request) or find_behaviour(request.model)

    def end(self, request: StandInRequest, client_left: bool) -> None:
        """Count the end of an answer. Called by the server."""
        for seen in (self._total, self._seen[request.model]):
            seen.open -= 1
            seen.left += client_left

    def _take_script(self, request: StandInRequest) -> Behaviour | None:
        script = self._scripts.get(request.model)
        if not script:
            return None
        return script.pop(0) if len(script) > 1 else script[0]


@contextmanager
def run_stand_in(
    choose: Callable[[StandInRequest, int], Behaviour | None] = lambda request, number: None,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
) -> Iterator[StandIn]:
    """Answer until the end of the block.

    Args:
        choose: asked first for each request, with the number of requests so far; ``None`` leaves it to the script.
        tls: serves HTTPS with this context's certificate.
        port: to listen on; 0 takes a free one.
    """
    listener = socket.create_server((LOOPBACK, port), backlog=1024)
    scheme = "https" if tls else "http"
    stand_in = StandIn(f"{scheme}://{LOOPBACK}:{listener.getsockname()[1]}", choose)
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()
    thread = threading.Thread(target=_run, args=(loop, stopped, listener, stand_in, tls), name="stand-in")
    thread.start()
    try:
        yield stand_in
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


@contextmanager
def hold_refusing_port() -> Iterator[int]:
    """A port of loopback that refuses every connection, and that nobody else gets while the block runs."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        yield bound.getsockname()[1]


@contextmanager
def hold_silent_port() -> Iterator[int]:
    """A port of loopback on which no connection is ever answered: its queue of one is full. Linux only."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def _run(
    loop: asyncio.AbstractEventLoop,
    stopped: asyncio.Event,
    listener: socket.socket,
    stand_in: StandIn,
    tls: ssl.SSLContext | None,
) -> None:
    async def serve() -> None:
        connections: set[_Connection] = set()
        server = await loop.create_server(lambda: _Connection(stand_in, connections), sock=listener, ssl=tls)
        await stopped.wait()
        server.close()
        for connection in tuple(connections):
            connection.abort()
        await asyncio.sleep(0)

    # A handshake that a client breaks off is what a wrong certificate is for.
    loop.set_exception_handler(lambda _, context: None)
    try:
        loop.run_until_complete(serve())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, and so on until one side ends it."""

    def __init__(self, stand_in: StandIn, connections: set[_Connection]) -> None:
        self._stand_in = stand_in
        self._connections = connections
        self._reader = RequestReader()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ends = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)
        self._stand_in.connections += 1

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._reader.wants_go_on():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._go_on()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._task:
            self._task.cancel()

    def abort(self) -> None:
        """End the connection at once."""
        self._ends = True
        self._transport.abort()

    def _go_on(self) -> None:
        request = self._reader.take() if self._task is None else None
        if request:
            self._task = asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: StandInRequest) -> None:
        behaviour = self._stand_in.begin(request)
        try:
            for step in build_reply(request, behaviour):
                await self._do(step)
        finally:
            self._stand_in.end(request, client_left=self._transport.is_closing() and not self._ends)
        self._task = None
        if not self._ends:
            self._go_on()

    async def _do(self, step: Send | Pause | Close) -> None:
        match step:
            case Send(data):
                self._transport.write(data)
                await self._writable.wait()
                await asyncio.sleep(0)  # each part is a packet of its own, as with a real provider
            case Pause(seconds):
                await asyncio.sleep(min(seconds, 86_400))
            case Close(resets):
                self._ends = True
                if resets:
                    connection = self._transport.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    self._transport.abort()
                else:
                    self._transport.close()
