"""Who may ask, in which language errors are told, and how a stream is read: the pure parts."""

from __future__ import annotations

import itertools

import pytest
from chat_api.api.hosts import is_host_allowed, is_origin_allowed
from chat_api.api.language import choose_language
from chat_api.exceptions.chat_exceptions import ChatApiException
from chat_api.exceptions.words import PROBLEMS
from chat_api.external.events import StreamReader
from chat_api.external.refusals import build_refusal
from hypothesis import given
from hypothesis import strategies as st

NAMES = frozenset({"chat.example"})
STREAM = (
    'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\r\n\r\n: a remark\n\n'
    'data: {"model":"m","choices":[{"delta":{"content":"안녕"}}]}\n\ndata: {"choices":[{"delta":{"content":"!"}}]}\n\n'
    'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
).encode()


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost:5601", True), ("127.0.0.1", True), ("[::1]:5601", True), ("192.0.2.7:5601", True),
        ("chat.example", True), ("CHAT.example.:80", True), ("a.localhost", True),
        ("evil.example", False), ("", False), ("chat.example@evil.example", False), ("chat.example evil", False),
    ],
)  # fmt: skip
def test_hosts(host: str, is_allowed: bool) -> None:
    assert is_host_allowed([host], NAMES) is is_allowed
    assert not is_host_allowed([host, host], NAMES)


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:5601", "host": "127.0.0.1:5601"}, True),
        ({"origin": "https://chat.example", "host": "127.0.0.1:5601"}, True),
        ({"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:5601"}, False),
        ({"origin": "http://evil.example", "host": "127.0.0.1:5601"}, False),
        ({"origin": "null", "host": "127.0.0.1:5601"}, False),
        ({"origin": "", "host": ""}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
    ],
)
def test_origins(headers: dict[str, str], is_allowed: bool) -> None:
    assert is_origin_allowed(headers, NAMES) is is_allowed


@given(st.text(max_size=60))
def test_any_language_leads_to_one_of_ours(accepted: str) -> None:
    assert choose_language(accepted) in ("en", "ko")
    assert choose_language("ko;q=0.5, en;q=0.4") == "ko"


@given(st.lists(st.integers(1, len(STREAM)), max_size=8))
def test_a_stream_is_the_same_however_it_is_cut(places: list[int]) -> None:
    reader, cuts = StreamReader(), sorted({0, len(STREAM), *places})
    texts = [text for a, b in itertools.pairwise(cuts) for text in reader.feed(STREAM[a:b])]
    assert texts == ["안녕", "!"]
    assert (reader.is_done, reader.usage["completion_tokens"]) == (True, 2)


@pytest.mark.parametrize("event", ["data: {", "data: []", 'data: {"error":{"code":"model_loading"}}'])
def test_a_broken_stream_is_a_failure(event: str) -> None:
    with pytest.raises(ChatApiException, match=r"gateway_broken_answer|model_loading"):
        StreamReader().feed(f"{event}\n\n".encode())


@given(
    st.integers(100, 999),
    st.recursive(st.none() | st.text(max_size=9), lambda v: st.dictionaries(st.text(max_size=9), v)),
)
def test_whatever_the_gateway_says_has_words_of_ours(status: int, body: object) -> None:
    for found in (body, {"error": body}, {"error": {"code": body}}):
        assert build_refusal(status, found, None).code in PROBLEMS
