"""Redis' wire format, as far as limits need it: commands out, replies in. Pure.

A reply is a whole number, bytes, None, a list of replies, or an ``ErrorReply``.
Source: Redis serialization protocol specification, RESP2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_CRLF = b"\r\n"


class ErrorReply(Exception):  # the protocol's word; a value until somebody raises it
    """The server refused a command; ``code`` is the first word of what it said, which names no argument."""

    def __init__(self, text: str) -> None:
        self.code = text.partition(" ")[0]
        super().__init__(self.code)


class MalformedError(Exception):
    """What arrived is not of this format."""


def write_command(*words: bytes | str | int) -> bytes:
    """One command as it is sent."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Reader:
    """Cuts what arrives into replies."""

    def __init__(self) -> None:
        self._unread = b""

    def feed(self, data: bytes) -> list[Any]:
        """The replies that are whole now.

        Raises:
            MalformedError: this is no Redis.
        """
        self._unread += data
        replies, at = [], 0
        while at < len(self._unread):
            try:
                reply, at = _read(self._unread, at)
            except _Unfinished:
                break
            replies.append(reply)
        self._unread = self._unread[at:]
        return replies


class _Unfinished(Exception):
    """The rest of a reply has not arrived."""


def _read(data: bytes, at: int) -> tuple[Any, int]:
    end = data.find(_CRLF, at)
    if end < 0:
        if data[at : at + 1] not in b"+-:$*":
            raise MalformedError
        raise _Unfinished
    kind, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"+":
        return line, after
    if kind == b"-":
        return ErrorReply(line.decode(errors="replace")), after
    try:
        number = int(line)
    except ValueError:
        raise MalformedError from None
    if kind == b":":
        return number, after
    if kind == b"$":
        return _read_text(data, after, number)
    if kind == b"*":
        return _read_list(data, after, number)
    raise MalformedError


def _read_text(data: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, at
    if len(data) < at + size + 2:
        raise _Unfinished
    return data[at : at + size], at + size + 2


def _read_list(data: bytes, at: int, length: int) -> tuple[Sequence[Any] | None, int]:
    if length < 0:
        return None, at
    items = []
    for _ in range(length):
        item, at = _read(data, at)
        items.append(item)
    return items, at
