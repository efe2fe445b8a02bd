"""HTTP itself, byte by byte, against a running gateway: what unusual clients send and what they get."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.stack_site import REPOSITORY
from tests.ports import claim_port
from tests.waiting import wait_for

KEY = b"host: gateway\r\nauthorization: Bearer client\r\n"
BODY = json.dumps({"model": "nope", "messages": [{"role": "user", "content": "hi"}]}).encode()
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n"
# Nothing answers there: no request of these tests gets so far.
CONFIG = """
model_list:
  - model_name: local-chat
    litellm_params: {model: hosted_vllm/local-chat, api_base: "http://127.0.0.1:1/v1", api_key: x}
    model_info: {mode: chat}
gateway:
  formats: [chat]
  providers:
    local-chat-engine: {kind: engine, local: true, slots: 4}
  models:
    local-chat: {provider: local-chat-engine}
"""
LIMIT = 4 * 1024 * 1024
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """One answer, and what came behind it."""

    status: int
    headers: dict[str, str]
    body: bytes
    rest: bytes

    @property
    def error(self) -> str:
        message: str = json.loads(self.body)["error"]["message"]
        return message


def parse_answer(raw: bytes, is_head: bool = False) -> Answer:
    head, _, rest = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = 0 if is_head else int(headers.get("content-length", "0"))
    return Answer(int(first.split()[1]), headers, rest[:length], rest[length:])


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    port: int

    def exchange(self, *pieces: bytes, answers: int = 1) -> bytes:
        """Send pieces one after another and read until so many answers are there or the gateway closes."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            return read_answers(connection, answers)

    def ask(self, *pieces: bytes, is_head: bool = False) -> Answer:
        return parse_answer(self.exchange(*pieces), is_head)


def read_answers(connection: socket.socket, answers: int) -> bytes:
    raw = b""
    while not is_whole(raw, answers):
        piece = connection.recv(65536)
        if not piece:
            break
        raw += piece
    return raw


def is_whole(raw: bytes, answers: int) -> bool:
    for _ in range(answers):
        head, separator, rest = raw.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        length = int(found[1]) if found else 0
        if not separator or len(rest) < length:
            return False
        raw = rest[length:]
    return True


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway itself, in the tests' own environment, with a model that no test reaches."""
    config = tmp_path_factory.mktemp("wire") / "config.yaml"
    config.write_text(CONFIG)
    port = claim_port()
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY / "services" / "api-gateway"),
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_ADMIN_KEY": "admin",
        "GATEWAY_KEY": "client",
        "GATEWAY_PORT": str(port),
        "GATEWAY_MAX_BODY_BYTES": str(LIMIT),
    }
    process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment, cwd=Path(config.parent))
    try:
        wait_for(lambda: can_connect(port) or process.poll() is not None, "the gateway")
        assert process.poll() is None
        yield Gateway(port)
    finally:
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def declare(body: bytes, *lines: bytes) -> bytes:
    """A chat request's head for a body of this length."""
    return CHAT + KEY + b"content-length: %d\r\n" % len(body) + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


NOT_SERVED = "Model 'nope' is not served here; /v1/models lists the models."


def test_head_is_get_without_its_body_on_the_same_connection(gateway: Gateway) -> None:
    head = b"HEAD /v1/models HTTP/1.1\r\n" + KEY + b"\r\n"
    get = b"GET /v1/models HTTP/1.1\r\n" + KEY + b"\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as connection:
        connection.sendall(head)
        raw = connection.recv(65536)
        first = parse_answer(raw, is_head=True)
        assert (first.status, first.rest) == (200, b"")
        connection.sendall(get)
        second = parse_answer(read_answers(connection, 1))
    assert (second.status, len(second.body)) == (200, int(first.headers["content-length"]))


def test_a_chunked_body_with_extensions_and_trailers_is_read(gateway: Gateway) -> None:
    head = CHAT + KEY + b"transfer-encoding: chunked\r\n\r\n"
    chunks = b"5;name=value\r\n%s\r\n%x\r\n%s\r\n0\r\nx-trailer: 1\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
    answer = gateway.ask(head, chunks[:20], chunks[20:])
    assert (answer.status, answer.error) == (404, NOT_SERVED)


def test_a_client_that_asks_before_it_sends_is_told_to(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as connection:
        connection.sendall(declare(BODY, b"expect: 100-continue"))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert parse_answer(read_answers(connection, 1)).error == NOT_SERVED


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (CHAT + KEY + b"expect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (CHAT + b"host: x\r\nexpect: 100-continue\r\ncontent-length: 30\r\n\r\n", 401),
        (CHAT.replace(b"chat", b"chap") + KEY + b"expect: 100-continue\r\ncontent-length: 30\r\n\r\n", 404),
    ],
)
def test_a_client_that_asks_before_it_sends_hears_a_refusal_instead(gateway: Gateway, head: bytes, status: int) -> None:
    assert gateway.ask(head).status == status


def test_http_1_0_is_answered_and_closed(gateway: Gateway) -> None:
    request = declare(BODY).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY
    answer = parse_answer(gateway.exchange(request, answers=2))
    assert (answer.error, answer.headers["connection"], answer.rest) == (NOT_SERVED, "close", b"")


@pytest.mark.parametrize("is_split", [False, True])
def test_the_body_of_a_client_that_offers_http_2_is_read(gateway: Gateway, is_split: bool) -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
    head = declare(BODY, *offer)
    pieces = (head, BODY) if is_split else (head + BODY,)
    assert gateway.ask(*pieces).error == NOT_SERVED


def test_a_websocket_is_refused_like_any_other_address(gateway: Gateway) -> None:
    upgrade = b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    answer = gateway.ask(b"GET /v1/realtime HTTP/1.1\r\n" + KEY + upgrade + b"sec-websocket-version: 13\r\n\r\n")
    assert answer.status == 404


def test_requests_sent_without_waiting_are_answered_in_turn(gateway: Gateway) -> None:
    get = b"GET /health/liveness HTTP/1.1\r\nhost: x\r\n\r\n"
    raw = gateway.exchange(declare(BODY) + BODY + get + get, answers=3)
    first = parse_answer(raw)
    second = parse_answer(first.rest)
    assert [first.status, second.status, parse_answer(second.rest).status] == [404, 200, 200]


@pytest.mark.parametrize("declared", [True, False])
def test_a_client_that_sends_too_much_reads_why(gateway: Gateway, declared: bool) -> None:
    body = bytes(3 * LIMIT)
    request = declare(body) + body
    if not declared:
        chunk = b"%x\r\n%s\r\n" % (len(body), body)
        request = CHAT + KEY + b"transfer-encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
    answer = gateway.ask(request)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert answer.error == f"The request body is larger than {LIMIT} bytes."


def test_a_packed_body_is_read(gateway: Gateway) -> None:
    packed = gzip.compress(BODY)
    assert gateway.ask(declare(packed, b"content-encoding: gzip") + packed).error == NOT_SERVED


@pytest.mark.parametrize(
    "request_bytes",
    [
        CHAT + KEY + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        CHAT + KEY + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        CHAT + KEY + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        CHAT + KEY + b"content-length: -2\r\n\r\n{}",
        CHAT + b"no colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["chunk", "both lengths", "two lengths", "negative", "header", "TLS", "HTTP/2", "path"],
)
def test_what_is_no_http_is_400_and_closed(gateway: Gateway, request_bytes: bytes) -> None:
    answer = gateway.ask(request_bytes)
    assert (answer.status, answer.headers["connection"]) == (400, "close")


def test_a_head_without_end_is_refused(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\n")
        raw = b""
        for number in range(1000):
            try:
                connection.sendall(b"x-%d: %s\r\n" % (number, b"a" * 1000))
            except OSError:
                break
        try:
            while piece := connection.recv(65536):
                raw += piece
        except ConnectionResetError:
            pass
    assert raw.startswith(b"HTTP/1.1 431 ")


def test_a_large_head_is_taken(gateway: Gateway) -> None:
    assert gateway.ask(b"GET /v1/models HTTP/1.1\r\n" + KEY + b"x: " + b"a" * 60_000 + b"\r\n\r\n").status == 200


def test_options_answers_without_a_key_and_without_cors_headers(gateway: Gateway) -> None:
    answer = gateway.ask(b"OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\n\r\n")
    assert (answer.status, answer.headers["allow"], answer.rest) == (204, "POST, OPTIONS", b"")
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_clients_request_id_comes_back_and_an_unsafe_one_does_not(gateway: Gateway) -> None:
    get = b"GET /v1/models HTTP/1.1\r\n" + KEY
    assert gateway.ask(get + b"x-request-id: trace-1\r\n\r\n").headers["x-request-id"] == "trace-1"
    assert gateway.ask(get + b"x-request-id: a b\r\n\r\n").headers["x-request-id"].startswith("req_")
