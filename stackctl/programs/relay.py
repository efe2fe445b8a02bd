"""Pass TCP connections on to another host: ``relay.py ADDRESS PORT HOST``.

What is published on a machine needs a network that has a way out. This program stands on that network, so that the
service behind it (HOST, on the same port) needs none: bytes go through unread in both directions, ends and breaks too.
ADDRESS is the one that it listens on. It says when it is ready and when it has begun to end.
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

    def __init__(self, listen: str, port: int, host: str) -> None:
        self._listen = listen
        self.port = port
        self.host = host
        self.fronts: set[Front] = set()
        self._address = ""
        self._address_ends = 0.0
        self._is_ending = asyncio.Event()
        self._is_idle = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, and then the connections that are open."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._is_ending.set)
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


def main() -> None:
    """Parse, then relay until told to end."""
    if len(sys.argv) != 4 or not sys.argv[2].isdecimal():
        sys.exit("relay: expected ADDRESS PORT HOST")
    listen, port, host = sys.argv[1:]
    asyncio.run(Relay(listen, int(port), host).run())


if __name__ == "__main__":
    main()
