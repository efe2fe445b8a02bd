"""Addresses, methods, request ids and CORS: what is told to clients that are nearly right."""

from __future__ import annotations

import pytest
from gateway.edge.endpoints import ENDPOINTS, find_endpoint
from gateway.edge.packing import ACCEPTED_ENCODINGS
from gateway.edge.wire import (
    choose_request_id,
    explain_method,
    explain_path,
    list_cors_headers,
    list_error_headers,
    list_methods,
    list_options_headers,
)
from gateway.errors import ApiError
from hypothesis import given
from hypothesis import strategies as st

CHAT = ENDPOINTS["/v1/chat/completions"]
MODELS = ENDPOINTS["/v1/models"]
PAGE = b"https://chat.example"


@pytest.mark.parametrize("given_id", ["a", "req_01J9Z", "4bf92f35-77b3/0001:a+b=c@d~", "x" * 128])
def test_a_clients_request_id_is_kept(given_id: str) -> None:
    assert choose_request_id([(b"accept", b"*/*"), (b"x-request-id", given_id.encode())]) == given_id


@pytest.mark.parametrize("given_id", [b"", b"x" * 129, b"a b", b"a\tb", b"a\r\nx: y", b'"a"', b"\xc3\xbc", b"a\x00"])
def test_an_unsafe_request_id_is_replaced(given_id: bytes) -> None:
    chosen = choose_request_id([(b"x-request-id", given_id)])
    assert chosen.startswith("req_")
    assert len(chosen) == 36
    assert chosen != choose_request_id([])


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "POST /v1/chat/completions"),
        ("/v1/chat/completions/", "POST /v1/chat/completions"),
        ("/v1//chat/completions", "POST /v1/chat/completions"),
        ("//v1/chat/completions", "POST /v1/chat/completions"),
        ("/v1/v1/chat/completions", "POST /v1/chat/completions"),
        ("/v1/chat/completions/v1/chat/completions", "POST /v1/chat/completions"),
        ("/V1/Chat/Completions", "POST /v1/chat/completions"),
        ("/openai/deployments/local-chat/chat/completions", "POST /v1/chat/completions"),
        ("/api/chat", "POST /v1/chat/completions"),
        ("/anthropic/v1/messages", "POST /v1/messages"),
        ("/messages/count_tokens/", "POST /v1/messages/count_tokens"),
        ("/responses", "POST /v1/responses"),
        ("/rerank", "POST /v1/rerank"),
        ("/embeddings", "POST /v1/embeddings"),
        ("/models", "GET /v1/models"),
        ("/v1/models/", "GET /v1/models"),
        ("/v1//models", "GET /v1/models"),
        ("/v1/v1/models/local-chat", "GET /v1/models/{model}"),
        ("/models/org/embed", "GET /v1/models/{model}"),
        ("/api/tags", "GET /v1/models"),
        ("/v1/health", "GET /health"),
        ("/health/", "GET /health"),
        ("/metrics/", "GET /metrics"),
    ],
)
def test_a_path_that_is_nearly_right_gets_the_right_address(path: str, meant: str) -> None:
    assert find_endpoint(path) is None
    assert explain_path(path) == ApiError(404, "unknown_route", f"There is no such route. Did you mean {meant}?")


@pytest.mark.parametrize("path", ["/", "", "/docs", "/v1/files", "/key/generate", "/v1", "/models2", "/v1/sk-planted"])
def test_another_path_gets_no_guess_and_is_not_repeated(path: str) -> None:
    error = explain_path(path)
    assert error.message == "There is no such route. /v1/models lists the models."


@given(st.text(max_size=80))
def test_any_path_is_answered(path: str) -> None:
    assert explain_path(path).status == 404


def test_every_endpoint_is_found_without_its_prefix_and_never_explained_away() -> None:
    for name, endpoint in ENDPOINTS.items():
        assert explain_path(f"/prefix{name}/").message.endswith(f"Did you mean {endpoint.method} {name}?")


def test_methods_and_what_errors_say_in_headers() -> None:
    assert (list_methods(CHAT), list_methods(MODELS)) == (b"POST, OPTIONS", b"GET, HEAD, OPTIONS")
    error = explain_method(CHAT)
    assert (error.status, error.message) == (405, "/v1/chat/completions takes POST only.")
    assert list_error_headers(error, CHAT) == [(b"allow", b"POST, OPTIONS")]
    assert list_error_headers(ApiError(401, "a", "b"), CHAT) == [(b"www-authenticate", b"Bearer")]
    assert list_error_headers(ApiError(413, "a", "b"), CHAT) == [(b"connection", b"close")]
    encodings = [(b"accept-encoding", ACCEPTED_ENCODINGS.encode())]
    assert list_error_headers(ApiError(415, "unsupported_encoding", "b"), CHAT) == encodings
    assert list_error_headers(ApiError(415, "unsupported_media_type", "b"), CHAT) == []
    assert list_error_headers(ApiError(405, "a", "b"), None) == []


PREFLIGHT = [
    (b"origin", PAGE),
    (b"access-control-request-method", b"POST"),
    (b"access-control-request-headers", b"authorization,content-type, x-stainless-os"),
]


def test_without_allowed_origins_there_is_no_cors_header() -> None:
    assert list_cors_headers(PREFLIGHT, ()) == []
    assert list_options_headers(PREFLIGHT, CHAT, ()) == [(b"allow", b"POST, OPTIONS")]


def test_a_page_of_an_allowed_origin_may_ask() -> None:
    origins = ("https://other.example", PAGE.decode())
    assert list_cors_headers(PREFLIGHT, origins) == [
        (b"vary", b"Origin"),
        (b"access-control-allow-origin", PAGE),
        (b"access-control-expose-headers", b"*"),
    ]
    assert list_options_headers(PREFLIGHT, CHAT, origins) == [
        (b"allow", b"POST, OPTIONS"),
        (b"access-control-allow-methods", b"POST, OPTIONS"),
        (b"access-control-max-age", b"600"),
        (b"access-control-allow-headers", b"authorization,content-type, x-stainless-os"),
    ]
    private = [*PREFLIGHT, (b"access-control-request-private-network", b"true")]
    assert list_options_headers(private, CHAT, origins)[-1] == (b"access-control-allow-private-network", b"true")


@pytest.mark.parametrize("origin", [b"https://chat.example.evil", b"http://chat.example", b"null", b"\xff", b""])
def test_a_page_of_another_origin_may_not(origin: bytes) -> None:
    headers = [(b"origin", origin), (b"access-control-request-method", b"POST")]
    assert list_cors_headers(headers, (PAGE.decode(),)) == [(b"vary", b"Origin")]
    assert list_options_headers(headers, CHAT, (PAGE.decode(),)) == [(b"allow", b"POST, OPTIONS")]


def test_a_star_allows_every_page() -> None:
    assert list_cors_headers([(b"origin", b"null")], ("*",)) == [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-expose-headers", b"*"),
    ]
    assert list_options_headers(PREFLIGHT, CHAT, ("*",))[1:] != []


def test_odd_requested_headers_are_not_repeated() -> None:
    odd = [*PREFLIGHT[:2], (b"access-control-request-headers", b"a\r\nset-cookie: x")]
    assert b"set-cookie" not in b"".join(value for _, value in list_options_headers(odd, CHAT, ("*",)))
