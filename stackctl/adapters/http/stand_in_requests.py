"""HTTP/1.1 requests out of bytes, for the stand-in provider. Does no I/O.

In: the bytes of a connection as they come. Out: whole requests. Only what clients of providers send is understood: a
head, and a body with a length or in chunks.
"""

from __future__ import annotations

from stackctl.core.drill.behaviour import StandInRequest

_HEAD_END = b"\r\n\r\n"


class RequestReader:
    """Collects a connection's bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._was_asked = False

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._buffer += data

    def wants_go_on(self) -> bool:
        """Whether the client waits to be asked for its body; said once a request."""
        end = self._buffer.find(_HEAD_END)
        if self._was_asked or end < 0 or b"\r\nexpect: 100-continue" not in self._buffer[:end].lower():
            return False
        self._was_asked = True
        return True

    def take(self) -> StandInRequest | None:
        """The next whole request; ``None`` as long as bytes of it are missing."""
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        start = end + len(_HEAD_END)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            found = _read_chunks(self._buffer, start)
        else:
            length = int(headers.get("content-length", "0"))
            whole = len(self._buffer) >= start + length
            found = (bytes(self._buffer[start : start + length]), start + length) if whole else None
        if found is None:
            return None
        body, stop = found
        del self._buffer[:stop]
        self._was_asked = False
        return StandInRequest(method, target.partition("?")[0], headers, body)


def _read_chunks(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    """The body and where it stops; ``None`` as long as a chunk is missing."""
    body = bytearray()
    while (line := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line].split(b";")[0], 16)
        start = line + 2 + size + 2
        if len(buffer) < start:
            return None
        if not size:
            return bytes(body), start
        body += buffer[line + 2 : line + 2 + size]
    return None
