"""Where the gateway is told that Redis is, and how Redis' replies are read, whole or in pieces."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.redis_place import RedisPlace, parse_place
from gateway.settings import SettingsError, parse_settings
from gateway.shared.limits import build_place
from gateway.shared.resp import ErrorReply, MalformedError, Reader, write_command
from hypothesis import given
from hypothesis import strategies as st

KEYS = {"GATEWAY_CONFIG": "c", "GATEWAY_ADMIN_KEY": "a", "GATEWAY_KEY": "k"}


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h", RedisPlace("h")),
        ("redis://[::1]:7000/3", RedisPlace("::1", 7000, database=3)),
        ("rediss://gate@redis.example:6380/", RedisPlace("redis.example", 6380, "gate", has_tls=True)),
    ],
)
def test_addresses(url: str, place: RedisPlace) -> None:
    assert parse_place(url, "", "", "local") == place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:planted@h", "holds a password"),
        ("redis://u:planted@h:6379/0", "holds a password"),
        ("http://h", "expected redis://HOST:PORT/NUMBER"),
        ("redis://", "expected redis://HOST:PORT/NUMBER"),
        ("redis://h:port", "expected redis://HOST:PORT/NUMBER"),
        ("redis://h/one", "expected a number"),
        ("redis://h/0?password=planted", "expected redis://HOST:PORT/NUMBER"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_REDIS_URL") as caught:
        parse_settings(KEYS | {"GATEWAY_REDIS_URL": url})
    assert words in str(caught.value)
    assert "planted" not in str(caught.value)


def test_a_password_is_in_no_representation() -> None:
    settings = parse_settings(KEYS | {"GATEWAY_REDIS_URL": "redis://h", "GATEWAY_REDIS_PASSWORD": "planted"})
    assert settings.redis is not None
    assert settings.redis.password == "planted"
    assert "planted" not in repr(settings)
    assert parse_settings(KEYS).redis is None
    with pytest.raises(SettingsError, match="expected local or refuse"):
        parse_settings(KEYS | {"GATEWAY_REDIS_URL": "redis://h", "GATEWAY_REDIS_AWAY": "later"})


def test_a_key_is_counted_by_its_name_and_all_others_by_theirs() -> None:
    assert build_place("key 7 ada of sales") == "gateway:limits:key ada of sales"
    assert build_place("target gpt 4") == "gateway:limits:target gpt 4"


REPLY = st.recursive(
    st.one_of(st.integers(-(2**53), 2**53), st.none(), st.binary(max_size=20)),
    lambda inner: st.lists(inner, max_size=4),
)


def encode(reply: Any) -> bytes:
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    return b"*%d\r\n%b" % (len(reply), b"".join(map(encode, reply)))


@given(replies=st.lists(REPLY, max_size=5), cut=st.integers(1, 7))
def test_replies_are_read_however_they_arrive(replies: list[Any], cut: int) -> None:
    data, reader, found = b"".join(map(encode, replies)), Reader(), []
    for at in range(0, len(data), cut):
        found += reader.feed(data[at : at + cut])
    assert found == replies


def test_refusals_tell_their_code_alone() -> None:
    (refusal,) = Reader().feed(b"-WRONGPASS invalid username-password pair planted\r\n")
    assert isinstance(refusal, ErrorReply)
    assert (str(refusal), refusal.code) == ("WRONGPASS", "WRONGPASS")


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n", b"\x15\x03\x01\x00\x02", b":one\r\n"])
def test_what_is_no_redis_is_noticed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Reader().feed(data)


def test_commands() -> None:
    assert write_command("SET", b"\x00\r\n", 12) == b"*3\r\n$3\r\nSET\r\n$3\r\n\x00\r\n\r\n$2\r\n12\r\n"
