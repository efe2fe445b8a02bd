"""Pass TCP connections on to other hosts: ``relay.py ADDRESS PORT HOST [ADDRESS PORT HOST ...]``.

What is published on a machine needs a network that has a way out. This program stands on that network, so that the
service behind it (HOST, on the same port) needs none: bytes go through unread in both directions, ends and breaks too.
ADDRESS is the one that it listens on; ``outside`` is the one with which this machine would reach others, so that hosts
on networks that lead nowhere do not reach each other through it. It says when it is ready and when it has begun to end.
HOST is looked up again and again, because a container that is made again may have another address. After SIGTERM no
connection is accepted any more, and those that are open may come to their end.

Runs by path with the standard library only, in a container of any image that has Python.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import sys

BACKLOG = 2048
CONNECT_TIMEOUT_S = 10.0
# How long a looked-up address is used: a look-up takes as long as the rest of a connection.
ADDRESS_S = 1.0
# Bytes that may wait for a slow reader before its sender is held up.
HIGH_WATER_BYTES = 256 * 1024
OUTSIDE = "outside"
# Of a network that is nobody's (RFC 5737): a route is looked up to it, and nothing is sent.
ELSEWHERE = ("192.0.2.1", 9)
# Closing with this answers with a reset: what ended before its time must not look complete.
ABORT = struct.pack("ii", 1, 0)


class Half(asyncio.Protocol):
    """One end of a relayed connection; what it receives goes out at the other."""

    transport: asyncio.Transport
    other: Half | None = None
    has_ended: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.other:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.has_ended = True
        if self.other and self.other.has_ended:
            self.other.transport.close()
            return False
        if self.other:
            self.other.transport.write_eof()
        return True  # the other direction stays open

    def pause_writing(self) -> None:
        if self.other:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        other, self.other = self.other, None
        if other:
            other.other = None
            if exc:
                reset(other.transport)
            else:
                other.transport.close()


class Front(Half):
    """The end that a client connected to; opens the other one."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._opening: asyncio.Task[None] | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._relay.fronts.add(self)
        self._opening = asyncio.ensure_future(self._open())

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            # Not paused from the start: Python before 3.11.3 begins to read in spite of it.
            self._early.append(data)
            self.transport.pause_reading()
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._opening
        self._opening.cancel()
        self._relay.fronts.discard(self)
        self._relay.check_end()
        super().connection_lost(exc)

    async def _open(self) -> None:
        loop, relay = asyncio.get_running_loop(), self._relay
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, back = await loop.create_connection(Half, await relay.find_address(), relay.port)
        except OSError:  # which a time-out is, too
            relay.forget_address()
            reset(self.transport)
            return
        self.other, back.other = back, self
        back.transport.writelines(self._early)
        self._early.clear()
        if self.has_ended:
            back.transport.write_eof()
        else:
            self.transport.resume_reading()


class Relay:
    """All connections, and the end of them."""

    def __init__(self, listen: str, port: int, host: str, is_ending: asyncio.Event) -> None:
        self._listen = listen
        self.port = port
        self.host = host
        self.fronts: set[Front] = set()
        self._address = ""
        self._address_ends = 0.0
        self._is_ending = is_ending
        self._is_idle = asyncio.Event()

    async def run(self) -> None:
        """Serve until the end begins, and then the connections that are open."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Front(self), self._listen, self.port, backlog=BACKLOG)
        say(f"{self.port} to {self.host}")
        await self._is_ending.wait()
        server.close()
        say("ending")
        self.check_end()
        await self._is_idle.wait()

    async def find_address(self) -> str:
        """Address of the host.

        Raises:
            OSError: it has none now.
        """
        loop = asyncio.get_running_loop()
        if not self._address or loop.time() >= self._address_ends:
            found = await loop.getaddrinfo(self.host, self.port, family=socket.AF_INET, type=socket.SOCK_STREAM)
            self._address, self._address_ends = str(found[0][4][0]), loop.time() + ADDRESS_S
        return self._address

    def forget_address(self) -> None:
        """Look it up again for the next connection."""
        self._address = ""

    def check_end(self) -> None:
        """Note that nothing is open any more, once the end has begun."""
        if self._is_ending.is_set() and not self.fronts:
            self._is_idle.set()


def reset(transport: asyncio.Transport) -> None:
    """Break a connection off."""
    link = transport.get_extra_info("socket")
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    transport.abort()


def say(text: str) -> None:
    """One line for the log, at once."""
    sys.stdout.write(f"relay: {text}\n")
    sys.stdout.flush()


def find_outside() -> str:
    """The address of this machine's way to others.

    Raises:
        OSError: there is no such way.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(ELSEWHERE)
        return str(link.getsockname()[0])


async def run_all(places: list[tuple[str, int, str]]) -> None:
    """Relay at every place until SIGTERM, and then until nothing is open any more."""
    loop, is_ending = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_ending.set)
    async with asyncio.TaskGroup() as group:
        for listen, port, host in places:
            group.create_task(Relay(listen, port, host, is_ending).run())


def main() -> None:
    """Parse, then relay until told to end."""
    words = sys.argv[1:]
    if not words or len(words) % 3 or not all(port.isdecimal() for port in words[1::3]):
        sys.exit("relay: expected ADDRESS PORT HOST, once or more")
    try:
        outside = find_outside() if OUTSIDE in words[::3] else ""
    except OSError as error:
        sys.exit(f"relay: there is no way to other machines to listen on: {error.strerror}")
    places = zip(words[::3], map(int, words[1::3]), words[2::3], strict=True)
    asyncio.run(run_all([(outside if listen == OUTSIDE else listen, port, host) for listen, port, host in places]))


if __name__ == "__main__":
    main()
