"""The smoke test itself, against servers that are right and wrong in each way that it must tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.http_server import QuietHandler, serve_http
from tests.integration.smoke.server import ADDRESS, KEY, MODEL, ask, find_reason, list_models

MODELS = {"object": "list", "data": [{"id": "qwen"}]}


@contextmanager
def serve(answer: bytes, status: int = 200) -> Iterator[tuple[dict[str, str], list[tuple[str, str, bytes]]]]:
    """A server with one answer; the environment that names it, and each request's line, key and body."""
    asked: list[tuple[str, str, bytes]] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((f"{self.command} {self.path}", self.headers.get("Authorization", ""), body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

    with serve_http(Handler) as address:
        yield {ADDRESS: f"http://{address}/v1", KEY: "planted-key"}, asked


@pytest.mark.parametrize("switch", ["STACK_SMOKE", "MYCODER_LMSTUDIO_SMOKE"])
def test_a_server_is_asked_only_where_both_are_exported(switch: str) -> None:
    address = {ADDRESS: "http://localhost:1234/v1"}
    assert "STACK_SMOKE=1 or MYCODER_LMSTUDIO_SMOKE=1" in find_reason(address)
    assert "STACK_SMOKE=1" in find_reason({**address, switch: "0"})
    assert find_reason({switch: "1"}).startswith("MYCODER_OPENAI_BASE_URL is not exported")
    assert find_reason({switch: "1", **address}) == ""


def test_the_models_are_asked_for_with_the_key() -> None:
    with serve(json.dumps(MODELS).encode()) as (environ, asked):
        assert list_models(environ) == ["qwen"]
        assert list_models({**environ, KEY: ""}) == ["qwen"]
    assert asked == [("GET /v1/models", "Bearer planted-key", b""), ("GET /v1/models", "", b"")]


def test_the_named_model_is_asked_one_short_question() -> None:
    answer = {"choices": [{"message": {"content": None, "reasoning_content": "pong"}}]}
    with serve(json.dumps(answer).encode()) as (environ, asked):
        assert ask({**environ, MODEL: "qwen"}) == "pong"
    assert asked[0][0] == "POST /v1/chat/completions"
    assert json.loads(asked[0][2])["model"] == "qwen"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"<html>", 200, "answers no JSON"),
        (b"[]", 200, "expected an object with a list 'data'"),
        (b'{"data": []}', 200, "lists no model"),
        (b"no such route", 404, "/v1/models answers 404: no such route"),
    ],
)
def test_a_wrong_answer_is_told(answer: bytes, status: int, words: str) -> None:
    with serve(answer, status) as (environ, _), pytest.raises(AssertionError) as failure:
        list_models(environ)
    assert words in str(failure.value)
    assert "planted" not in str(failure.value)


def test_an_answer_without_text_is_none() -> None:
    answer = {"choices": [{"message": {"content": ""}}]}
    with serve(json.dumps(answer).encode()) as (environ, _), pytest.raises(AssertionError, match="has no text"):
        ask({**environ, MODEL: "qwen"})


def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    with serve(b"") as (environ, _):
        pass
    with pytest.raises(AssertionError, match=r"/v1/models does not answer within 3 s \(ConnectError\)") as failure:
        list_models(environ)
    assert failure.value.__context__ is None


def test_a_server_that_hangs_is_not_waited_for() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {ADDRESS: f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}
        with pytest.raises(AssertionError, match=r"within 0.05 s \(ReadTimeout\)"):
            list_models(environ, timeout_s=0.05)
