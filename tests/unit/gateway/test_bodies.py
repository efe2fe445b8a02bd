"""A request's body: limits, encodings, JSON; every refusal in words."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

import brotli
import pytest
import zstandard
from gateway.edge.bodies import MAX_VALUES, DisconnectedError, parse_object, read_body
from gateway.errors import ApiError, RefusedError
from hypothesis import given, settings
from hypothesis import strategies as st

T = TypeVar("T")

LIMIT = 1024 * 1024
TEXT = json.dumps({"model": "local-chat", "messages": [{"role": "user", "content": "grüß dich " * 500}]}).encode()


def pack_deflate_raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "two gzip members": ("gzip", lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:])),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", pack_deflate_raw),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "two zstd frames": (
        "zstd",
        lambda data: b"".join(map(zstandard.ZstdCompressor().compress, (data[:700], data[700:]))),
    ),
    "identity": ("identity", bytes),
    "upper case": ("GZIP", gzip.compress),
    "three in turn": ("gzip, br, zstd", lambda data: zstandard.compress(brotli.compress(gzip.compress(data)))),
}
TRULY_PACKED = [name for name in PACKERS if name != "identity"]


class Sender:
    """A client that sends a body in pieces, and how much of it was taken."""

    def __init__(self, body: bytes, piece_bytes: int = 4096, leaves: bool = False, stalls: bool = False) -> None:
        self.pieces = [body[i : i + piece_bytes] for i in range(0, len(body), piece_bytes)] or [b""]
        self.leaves, self.stalls = leaves, stalls
        self.taken = 0

    async def receive(self) -> MutableMapping[str, Any]:
        if self.taken == len(self.pieces):
            if self.leaves:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
        self.taken += 1
        is_last = self.taken == len(self.pieces) and not (self.leaves or self.stalls)
        return {"type": "http.request", "body": self.pieces[self.taken - 1], "more_body": not is_last}


def read(sender: Sender | bytes, limit: int = LIMIT, **named: str) -> bytes:
    """Read a body that comes with these headers."""
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    client = Sender(sender) if isinstance(sender, bytes) else sender
    return asyncio.run(read_body(client.receive, headers, limit))


def refuse(act: Callable[[], object]) -> ApiError:
    with pytest.raises(RefusedError) as caught:
        act()
    return caught.value.error


def attempt(act: Callable[[], T]) -> T | ApiError:
    try:
        return act()
    except RefusedError as refusal:
        return refusal.error


@pytest.mark.parametrize("name", PACKERS)
def test_a_packed_body_is_unpacked(name: str) -> None:
    encoding, pack = PACKERS[name]
    assert read(pack(TEXT), content_encoding=encoding) == TEXT


@pytest.mark.parametrize("name", TRULY_PACKED)
@pytest.mark.parametrize("spoil", ["cut", "cut to nothing", "other bytes", "junk behind"])
def test_a_spoilt_body_is_refused_in_words(name: str, spoil: str) -> None:
    encoding, pack = PACKERS[name]
    packed = pack(TEXT)
    body = {
        "cut": packed[:-3],
        "cut to nothing": b"",
        "other bytes": b"{}" + packed[2:],
        "junk behind": packed + b"\xff" * 64,
    }[spoil]
    error = refuse(lambda: read(body, content_encoding=encoding))
    assert (error.status, error.code) == (400, "invalid_encoding")
    assert error.message.startswith("The request body cannot be unpacked as ")


def test_an_unknown_encoding_names_those_that_are_known() -> None:
    error = refuse(lambda: read(TEXT, content_encoding="gzip, compress"))
    assert (error.status, error.code) == (415, "unsupported_encoding")
    assert error.message == ("Content-Encoding 'compress' is not known; this gateway unpacks gzip, deflate, br, zstd.")
    error = refuse(lambda: read(TEXT, content_encoding="gzip, gzip, gzip, gzip"))
    assert (error.status, error.message) == (415, "The request body is packed 4 times; 3 times are allowed.")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_takes_no_more_memory_than_the_limit_and_lets_others_have_their_turn(encoding: str) -> None:
    zeros = bytes(LIMIT)
    stream: Any = {
        "gzip": lambda: zlib.compressobj(wbits=31),
        "deflate": zlib.compressobj,
        "zstd": lambda: zstandard.ZstdCompressor().compressobj(),
        "br": lambda: brotli.Compressor(quality=3),  # type: ignore[no-untyped-call]
    }[encoding]()
    compress: Callable[[bytes], bytes] = stream.process if encoding == "br" else stream.compress
    bomb = b"".join(compress(zeros) for _ in range(256)) + (stream.finish() if encoding == "br" else stream.flush())
    limit = 16 * LIMIT
    assert len(bomb) < LIMIT
    turns = 0

    async def scenario() -> None:
        nonlocal turns

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        headers = [(b"content-encoding", encoding.encode())]
        try:
            await read_body(Sender(bomb, len(bomb)).receive, headers, limit)
        finally:
            counting.cancel()

    tracemalloc.start()
    error = refuse(lambda: asyncio.run(scenario()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (error.status, error.message) == (413, f"The request body is larger than {limit} bytes once unpacked.")
    assert turns >= 2, "others had no turn"
    assert peak < 2 * limit


def test_a_bomb_within_a_bomb_is_stopped_at_each_step() -> None:
    body = gzip.compress(gzip.compress(bytes(64 * LIMIT)))
    assert refuse(lambda: read(body, content_encoding="gzip, gzip")).status == 413


def test_members_without_end_are_refused() -> None:
    body = gzip.compress(b"") * 40_000
    assert refuse(lambda: read(body, content_encoding="gzip")).code == "invalid_encoding"


def test_a_zstd_window_larger_than_http_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packer.compress(TEXT) + packer.flush()
    assert refuse(lambda: read(body, content_encoding="zstd")).code == "invalid_encoding"


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "zstd"]))
def test_any_bytes_unpack_or_are_refused(data: bytes, encoding: str) -> None:
    outcome = attempt(lambda: read(data, content_encoding=encoding))
    assert isinstance(outcome, bytes) or outcome.code == "invalid_encoding"


@given(st.binary(max_size=5000), st.sampled_from(TRULY_PACKED), st.integers(1, 5000))
@settings(deadline=None)
def test_what_was_packed_comes_out_the_same(data: bytes, name: str, piece_bytes: int) -> None:
    encoding, pack = PACKERS[name]
    assert read(Sender(pack(data), piece_bytes), content_encoding=encoding) == data


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_413_once_its_client_has_sent_it(declared: bool) -> None:
    sender = Sender(bytes(3 * LIMIT), LIMIT // 4)
    length = str(3 * LIMIT) if declared else ""
    error = refuse(lambda: read(sender, content_length=length))
    assert (error.status, error.code) == (413, "request_too_large")
    assert error.message == f"The request body is larger than {LIMIT} bytes."
    assert sender.taken == len(sender.pieces), "closing now would reset the connection before the answer is read"


def test_a_client_that_asks_first_need_not_send_a_body_that_is_too_large() -> None:
    sender = Sender(bytes(3 * LIMIT))
    assert refuse(lambda: read(sender, content_length=str(3 * LIMIT), expect="100-continue")).status == 413
    assert sender.taken == 0


def test_a_client_that_stalls_in_a_too_large_body_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.bodies._LINGER_S", 0.01)
    assert refuse(lambda: read(Sender(bytes(LIMIT), stalls=True), content_length=str(3 * LIMIT))).status == 413


def test_a_body_that_stops_arriving_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.bodies._PIECE_TIMEOUT_S", 0.01)
    error = refuse(lambda: read(Sender(b"{}", stalls=True)))
    assert (error.status, error.code) == (408, "request_timeout")
    assert error.message == "The rest of the request body did not arrive within 0.01 s."


def test_a_body_of_exactly_the_limit_is_read_and_a_client_that_leaves_is_noticed() -> None:
    assert len(read(bytes(LIMIT), content_length=str(LIMIT))) == LIMIT
    with pytest.raises(DisconnectedError):
        read(Sender(TEXT, leaves=True))


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "text/plain;charset=UTF-8",
        "application/octet-stream",
        "",
    ],
)
def test_what_tools_say_of_json_is_taken(media_type: str) -> None:
    assert read(TEXT, content_type=media_type) == TEXT


@pytest.mark.parametrize("media_type", ["multipart/form-data; boundary=x", "application/xml", "image/png", "text/html"])
def test_what_is_certainly_not_json_is_415(media_type: str) -> None:
    error = refuse(lambda: read(TEXT, content_type=media_type))
    assert (error.status, error.code) == (415, "unsupported_media_type")
    assert media_type.partition(";")[0] in error.message
    assert error.message.endswith("send the request as 'application/json'.")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"{", "line 1, column 2"),
        (b'{"a": 1,}', "line 1, column 8"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": Infinity}', "not valid JSON"),
        (b'{"a": 1e999}', "number is infinity"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
        ('{"a": "ü"}'.encode("utf-16"), "it is not UTF-8"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"a": "\\udc00\\ud800"}', "half of a surrogate pair"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "it is nested too deeply"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(body: bytes, words: str) -> None:
    error = refuse(lambda: parse_object(body))
    assert (error.status, error.code) == (400, "invalid_json")
    assert words in error.message


def test_json_as_tools_write_it_is_taken() -> None:
    assert parse_object(b'\xef\xbb\xbf {"a": "\\u0000\\ud83d\\ude00", "a": 2} ') == {"a": 2}
    assert parse_object(b'{"a": "\\u0000\\ud83d\\ude00", "\\u0061\\u0300": 18446744073709551616}') == {
        "a": "\0\U0001f600",
        "a\u0300": 1.8446744073709552e19,
    }


def test_a_large_body_of_text_is_parsed_and_one_of_countless_values_is_not() -> None:
    picture = b'{"a": "' + b"QUJD" * 12_500_000 + b'"}'
    assert len(parse_object(picture)["a"]) == 50_000_000
    tokens = b'{"input": [' + b",".join([b"1"] * (MAX_VALUES - 2)) + b"]}"
    assert len(parse_object(tokens)["input"]) == MAX_VALUES - 2
    error = refuse(lambda: parse_object(b'{"a": [' + b"[]," * MAX_VALUES + b"1]}"))
    assert (error.status, error.code) == (400, "too_many_values")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    outcome = attempt(lambda: parse_object(data))
    assert isinstance(outcome, dict) or outcome.status == 400
