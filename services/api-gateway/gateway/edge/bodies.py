"""A request's body: read within a limit, unpacked within the same limit, parsed.

In: the ASGI ``receive`` of one request and its headers. Out: bytes, or a JSON object as a dictionary. No other I/O.

JSON is parsed in the event loop: orjson holds the interpreter's lock, so that a thread would stop the loop just as
long. Measured: 7 ms for 4 MB of text and 60 ms for 32 MB. What takes long are many values, 17 s for 32 MB of ``[]``,
hence their limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from gateway.edge.packing import PackingError, parse_encodings, unpack
from gateway.errors import ApiError, RefusedError

if TYPE_CHECKING:
    from gateway.edge.asgi import Message, Receive

HeaderList = Iterable[tuple[bytes, bytes]]

# Thirty times what OpenAI takes in one request of token ids, and the commas of 10 MB of source code.
MAX_VALUES = 500_000
# Below it, no body holds values enough to matter.
_LARGE_BYTES = 256 * 1024
# After so many unpacked bytes, others get their turn.
_TURN_BYTES = 64 * 1024
# A client that is still sending when its connection is closed sees a reset instead of the answer.
_LINGER_S = 1.0
# A body that stops arriving must not hold its connection for ever.
_PIECE_TIMEOUT_S = 60.0

_READ_HEADERS = frozenset({b"content-encoding", b"content-length", b"content-type", b"expect"})
# What `curl -d` and `fetch` say of a body of JSON without being told what it is.
_TOLERATED_TYPES = frozenset(
    {"", "application/octet-stream", "application/x-www-form-urlencoded", "text/json", "text/plain"}
)


class DisconnectedError(Exception):
    """The client left before its request was complete."""


async def read_body(receive: Receive, headers: HeaderList, limit_bytes: int) -> bytes:
    """Read a request's whole body and unpack it.

    A media type that is certainly not JSON is refused. A missing one and those that tools send without being told
    are taken: every route needs a key that a foreign web page cannot send unasked, so they open nothing.

    Args:
        limit_bytes: most bytes of the body, as sent and at each step of unpacking.

    Raises:
        RefusedError: 413 for a body over the limit, 415 for a media type or an encoding that is not taken, 400 for a
            body that cannot be unpacked, 408 for one that stops arriving.
        DisconnectedError: the client left before the end of the body.
    """
    named = {name: value.decode("latin-1").strip() for name, value in headers if name in _READ_HEADERS}
    _check_media_type(named.get(b"content-type", ""))
    encodings = parse_encodings(named.get(b"content-encoding", ""))
    declared = named.get(b"content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        if b"expect" not in named:
            await _discard(receive)
        raise _build_too_large(limit_bytes)
    body = await _collect(receive, limit_bytes)
    for encoding in encodings:
        body = await _unpack_within(body, encoding, limit_bytes)
    return body


def _check_media_type(value: str) -> None:
    media_type = value.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json") or media_type in _TOLERATED_TYPES:
        return
    text = f"Content-Type {media_type[:80]!r} is not JSON; send the request as 'application/json'."
    raise RefusedError(ApiError(415, "unsupported_media_type", text))


async def _collect(receive: Receive, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await _receive_in_time(receive)
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit_bytes:
            if message.get("more_body", False):
                await _discard(receive)
            raise _build_too_large(limit_bytes)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _receive_in_time(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(_PIECE_TIMEOUT_S):
            return await receive()
    except TimeoutError as error:
        text = f"The rest of the request body did not arrive within {_PIECE_TIMEOUT_S:g} s."
        raise RefusedError(ApiError(408, "request_timeout", text)) from error


async def _discard(receive: Receive) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while (await receive()).get("more_body", False):
                pass


async def _unpack_within(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = turn = 0
    try:
        for piece in unpack(body, encoding):
            size += len(piece)
            if size > limit_bytes:
                raise _build_too_large(limit_bytes, " once unpacked")
            pieces.append(piece)
            if size - turn >= _TURN_BYTES:
                turn = size
                await asyncio.sleep(0)
    except PackingError as error:
        text = f"The request body cannot be unpacked as {encoding}: {error}."
        raise RefusedError(ApiError(400, "invalid_encoding", text)) from error
    return b"".join(pieces)


def _build_too_large(limit_bytes: int, when: str = "") -> RefusedError:
    text = f"The request body is larger than {limit_bytes} bytes{when}."
    return RefusedError(ApiError(413, "request_too_large", text))


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds. Of a name that stands twice, the last value counts.

    Raises:
        RefusedError: 400 for a body that is no JSON object or has more than ``MAX_VALUES`` values.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")  # PowerShell's
    if not body.strip():
        raise _build_invalid("The request body is empty; a JSON object is expected.")
    is_large = len(body) > _LARGE_BYTES
    # Also those within texts: telling them apart would mean parsing.
    if is_large and sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        text = f"The request body has more than {MAX_VALUES} values, by its commas and opening brackets."
        raise RefusedError(ApiError(400, "too_many_values", text))
    try:
        with _pause_collection() if is_large else contextlib.nullcontext():
            value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _build_invalid(f"The request body is not valid JSON ({place}): {_describe(error.msg)}.") from error
    if not isinstance(value, dict):
        raise _build_invalid("The request body must be a JSON object.")
    return value


def _build_invalid(text: str) -> RefusedError:
    return RefusedError(ApiError(400, "invalid_json", text))


def _describe(reason: str) -> str:
    """What is wrong, in words of ours where orjson's are about Rust."""
    if "UTF-8" in reason:
        return "it is not UTF-8"
    if "surrogate" in reason:
        return "half of a surrogate pair is no character"
    if "depth" in reason or "ecursion" in reason:
        return "it is nested too deeply"
    return reason.partition(":")[0]


@contextlib.contextmanager
def _pause_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: looking through half-made values over and over takes five times their parsing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
