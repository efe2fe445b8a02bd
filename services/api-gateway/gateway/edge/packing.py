"""Packed request bodies: which encodings are taken, and how one is unpacked in pieces. Pure.

In: bytes and the value of a Content-Encoding header. Out: pieces of bounded size, so that whoever takes them can stop
in time: a few kilobytes may hold gigabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import zstandard

from gateway.errors import ApiError, RefusedError

ACCEPTED_ENCODINGS = "gzip, deflate, br, zstd"

# The most that a piece holds, but for the decoders' own blocks: brotli's last may double it, zstd's reach 8 MiB.
_PIECE_BYTES = 1024 * 1024
_SLICE_BYTES = 64 * 1024
# The smallest block of zstd is 4 bytes and may hold 128 KiB, so that this many bytes hold 8 MiB at most.
_ZSTD_SLICE_BYTES = 256
# What RFC 9659 lets a sender of HTTP use, and so the most that a receiver must hold.
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
# A body of members without content would cost much and say nothing.
_MAX_MEMBERS = 100
# Nobody packs twice; it is allowed, and bounded.
_MAX_ENCODINGS = 3


class PackingError(ValueError):
    """The bytes are not what their encoding says, or end too early."""


def parse_encodings(value: str) -> tuple[str, ...]:
    """The encodings of a Content-Encoding header, the one to undo first in front.

    Raises:
        RefusedError: 415 for an encoding that is not known, or for more than three.
    """
    names = [name for part in value.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    names = ["gzip" if name == "x-gzip" else name for name in names]
    unknown = next((name for name in names if name not in _UNPACKERS), None)
    if unknown is not None:
        text = f"Content-Encoding {unknown[:40]!r} is not known; this gateway unpacks {ACCEPTED_ENCODINGS}."
        raise RefusedError(ApiError(415, "unsupported_encoding", text))
    if len(names) > _MAX_ENCODINGS:
        text = f"The request body is packed {len(names)} times; {_MAX_ENCODINGS} times are allowed."
        raise RefusedError(ApiError(415, "unsupported_encoding", text))
    return tuple(reversed(names))


def unpack(data: bytes, encoding: str) -> Iterator[bytes]:
    """The unpacked bytes, piece by piece; pieces may be empty.

    Args:
        encoding: one of those that ``parse_encodings`` gives.

    Raises:
        PackingError: the bytes are corrupt or end too early.
    """
    if not data:
        raise PackingError("it is empty")
    try:
        yield from _UNPACKERS[encoding](data)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise PackingError("it is corrupt") from error


def _unpack_gzip(data: bytes) -> Iterator[bytes]:
    yield from _unpack_members(data, _SLICE_BYTES, lambda: zlib.decompressobj(31), _drain_zlib)


def _unpack_deflate(data: bytes) -> Iterator[bytes]:
    """RFC 9110 means zlib's format by it; some clients send the bare stream, and servers take both."""
    has_header = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
    window_bits = 15 if has_header else -15
    yield from _unpack_members(data, _SLICE_BYTES, lambda: zlib.decompressobj(window_bits), _drain_zlib, 1)


def _unpack_zstd(data: bytes) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    yield from _unpack_members(data, _ZSTD_SLICE_BYTES, decompressor.decompressobj, _drain_zstd)


def _unpack_members(
    data: bytes,
    slice_bytes: int,
    make_decoder: Callable[[], Any],
    drain: Callable[[Any, bytes], Iterator[bytes]],
    max_members: int = _MAX_MEMBERS,
) -> Iterator[bytes]:
    """Unpack what may be several packed texts one behind the other, as gzip and zstd allow.

    Args:
        make_decoder: makes a decompression object of zlib or zstandard, with ``eof`` and ``unused_data``.
        drain: what such an object unpacks of a part.
    """
    decoder, members = make_decoder(), 1
    for start in range(0, len(data), slice_bytes):
        part = data[start : start + slice_bytes]
        while part:
            if decoder.eof:
                decoder, members = make_decoder(), members + 1
                if members > max_members:
                    raise PackingError("something follows its end")
            yield from drain(decoder, part)
            part = decoder.unused_data
    if not decoder.eof:
        raise PackingError("it ends too early")


def _drain_zlib(decoder: Any, part: bytes) -> Iterator[bytes]:
    while part:
        yield decoder.decompress(part, _PIECE_BYTES)
        part = decoder.unconsumed_tail


def _drain_zstd(decoder: Any, part: bytes) -> Iterator[bytes]:
    yield decoder.decompress(part)


def _unpack_brotli(data: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    piece = decoder.process(data, output_buffer_limit=_PIECE_BYTES)
    while piece:
        yield piece
        piece = b"" if decoder.is_finished() else decoder.process(b"", output_buffer_limit=_PIECE_BYTES)
    if not decoder.is_finished():
        raise PackingError("it ends too early")


_UNPACKERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _unpack_gzip,
    "deflate": _unpack_deflate,
    "br": _unpack_brotli,
    "zstd": _unpack_zstd,
}
