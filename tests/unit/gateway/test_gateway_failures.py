"""The gate when something fails: errors in the client's form, a log without content, wrong settings in one line."""

from __future__ import annotations

import asyncio
import json
import logging
from itertools import pairwise
from typing import Any

import httpx
import pytest
from gateway.catalog import parse_catalog
from gateway.edge.gate import Gate
from gateway.failures import explain, read_message, replace_stream_errors, shorten
from gateway.observe.logs import ContentFreeFormatter, is_wanted
from gateway.settings import Settings, SettingsError, check_references, parse_settings
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway_calls import (
    ADMIN,
    BODY,
    CHAT,
    CLIENT,
    CONFIG,
    ENVIRONMENT,
    SECRET,
    Inner,
    Message,
    build_gate,
    call,
    call_raw,
    error_of,
)


def _chain(*errors: BaseException) -> BaseException:
    for outer, inner in pairwise(errors):
        outer.__context__ = inner
    return errors[0]


class APIConnectionError(Exception):
    """Named as LiteLLM's own, which it raises for lost connections and for requests it cannot convert."""


@pytest.mark.parametrize(
    ("status", "failure", "expected", "code"),
    [
        (500, _chain(APIConnectionError(), httpx.ConnectError(SECRET)), 503, "upstream_unreachable"),
        (500, _chain(RuntimeError(), RuntimeError(), ConnectionResetError()), 503, "upstream_unreachable"),
        (500, _chain(RuntimeError(), httpx.ConnectTimeout("")), 503, "upstream_unreachable"),
        (408, _chain(RuntimeError(), httpx.ReadTimeout("")), 504, "upstream_timeout"),
        (500, APIConnectionError(), 400, "invalid_request"),
        (500, RuntimeError(), 502, "upstream_error"),
        (500, None, 502, "upstream_error"),
        (500, _chain(APIConnectionError(), ModuleNotFoundError(SECRET)), 500, "internal_error"),
        (401, RuntimeError(), 502, "upstream_refused_key"),
        (400, RuntimeError(), 400, "invalid_request"),
        (404, RuntimeError(), 404, "not_found"),
        (429, RuntimeError(), 429, "rate_limit_exceeded"),
    ],
)
def test_a_failed_call_becomes_an_error_with_its_cause(
    status: int, failure: BaseException | None, expected: int, code: str
) -> None:
    text = "litellm.APIError: APIError: Hosted_vllmException - Cannot do it\n\nLiteLLM: model group 'local-chat' failed"
    inner = Inner(status, (json.dumps({"error": {"message": text}}).encode(),), ((b"retry-after", b"7"),), failure)
    response = call(build_gate(inner), "POST", CHAT, json=BODY)
    assert (response.status_code, error_of(response)["code"]) == (expected, code)
    assert response.headers["retry-after"] == "7"
    assert SECRET not in response.text
    assert "litellm" not in response.text.lower()
    anthropic = call(build_gate(inner), "POST", "/v1/messages", json=BODY).json()
    assert (anthropic["type"], set(anthropic["error"])) == ("error", {"type", "message"})


def test_a_model_that_loads_and_a_prompt_too_long_have_codes_of_their_own() -> None:
    loading = explain(503, b'{"error": {"message": "litellm.ServiceUnavailableError: Loading model"}}', None, "m")
    assert (loading.status, loading.code) == (503, "model_loading")
    inner = {"error": {"code": 400, "message": "the request exceeds", "type": "exceed_context_size_error"}}
    body = json.dumps({"error": {"message": f"litellm.BadRequestError: OpenAIException - {json.dumps(inner)}"}})
    long = explain(400, body.encode(), None, "m")
    assert (long.status, long.code, long.message) == (400, "context_length_exceeded", "the request exceeds")


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error": {"message": "litellm.X: at 10.0.0.1", "type": null, "param": null, "code": "500"}}\n\n',
        b'event: error\ndata: {"type": "error", "error": {"type": "x", "message": "litellm.X: at 10.0.0.1"}}\n\n',
        b'data: {"type":"response.failed","response":{"error":{"code":"x","message":"litellm.X: at 10.0.0.1"}}}\n\n',
    ],
)
def test_a_stream_that_breaks_ends_in_an_error_event_without_addresses(event: bytes) -> None:
    inner = Inner(chunks=(b'data: {"a": 1}\n\n', event), failure=_chain(RuntimeError(), httpx.ReadError(SECRET)))
    text = call(build_gate(inner), "POST", CHAT, json=BODY).text
    assert text.startswith('data: {"a": 1}\n\n')
    assert "cannot be reached" in text
    assert "10.0.0.1" not in text
    assert text.count("data: ") == 2


def test_an_error_among_several_events_sent_at_once_is_found() -> None:
    events = b'data: {"a": 1}\n\ndata: {"error": {"message": "litellm.X", "code": "500"}}\n\ndata: [DONE]\n\n'
    text = call(build_gate(Inner(chunks=(events,))), "POST", CHAT, json=BODY).text
    assert text.startswith('data: {"a": 1}\n\ndata: {')
    assert text.endswith("}\n\ndata: [DONE]\n\n")
    assert '"code":"upstream_error"' in text


def test_an_answer_that_speaks_of_errors_is_left_alone() -> None:
    chunk = (
        b"data: " + json.dumps({"choices": [{"delta": {"content": '{"error": {"message": "x"}}'}}]}).encode() + b"\n\n"
    )
    assert call(build_gate(Inner(chunks=(chunk,))), "POST", CHAT, json=BODY).content == chunk


def test_an_exception_before_the_answer_is_500_and_after_its_begin_leaves_it_unfinished() -> None:
    before = call_raw(build_gate(Inner(chunks=(), raised=RuntimeError(SECRET))))
    assert before[0]["status"] == 500
    assert SECRET.encode() not in before[1]["body"]
    after = call_raw(build_gate(Inner(chunks=(b"data: 1\n\n",), raised=RuntimeError())))
    assert after[0]["status"] == 200
    assert after[-1]["more_body"] is True


def test_a_request_cancelled_at_shutdown_is_503() -> None:
    sent = call_raw(build_gate(Inner(chunks=(), raised=asyncio.CancelledError())))
    assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]["code"]) == (503, "shutting_down")


def _start(missing: list[str]) -> list[Message]:
    sent: list[Message] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    gate = Gate(inner, parse_settings(ENVIRONMENT), parse_catalog(CONFIG), lambda: missing)
    asyncio.run(gate({"type": "lifespan"}, receive, send))
    return sent


def test_a_model_that_litellm_dropped_stops_the_start() -> None:
    assert _start([]) == [{"type": "lifespan.startup.complete"}]
    (message,) = _start(["local-chat"])
    assert message["type"] == "lifespan.startup.failed"
    assert "local-chat" in message["message"]


def test_the_access_log_holds_neither_path_nor_body_nor_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gate = build_gate(Inner(500, (SECRET.encode(),), failure=ConnectionError(SECRET)))
    call(gate, "GET", f"/{SECRET}?{SECRET}")
    call(gate, "POST", CHAT, json={**BODY, "user": SECRET})
    call(gate, "POST", CHAT, json={"model": SECRET})
    call(gate, "POST", CHAT, SECRET, json=BODY)
    formatter = ContentFreeFormatter("%(message)s")
    text = "\n".join(formatter.format(record) for record in caplog.records if record.name.startswith("gateway"))
    assert f"POST {CHAT} 503 key=client model=local-chat" in text
    assert "error=upstream_unreachable" in text
    assert "builtins.ConnectionError" in text
    for secret in (SECRET, CLIENT, ADMIN):
        assert secret not in text


def test_foreign_log_records_keep_their_place_and_lose_their_content() -> None:
    logger = logging.getLogger("LiteLLM")
    try:
        raise ValueError(SECRET) from KeyError(SECRET)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logger.makeRecord("LiteLLM", logging.ERROR, "router.py", 7, f"f {SECRET}", (SECRET,), info, "acompletion")
    record.exc_text = SECRET
    text = ContentFreeFormatter("%(levelname)s %(name)s %(message)s").format(record)
    assert "ERROR LiteLLM" in text
    assert "router.acompletion:7" in text
    assert "builtins.ValueError at " in text
    assert "builtins.KeyError at " in text
    assert SECRET not in text


@pytest.mark.parametrize("place", ["log_llm_api_exception", "warn_source_login_limit_is_off"])
def test_what_the_gate_logs_or_does_itself_is_no_news_of_litellm(place: str) -> None:
    def build(name: str) -> logging.LogRecord:
        return logging.LogRecord(name, logging.ERROR, "x.py", 1, "m", (), None, place)

    assert not is_wanted(build("LiteLLM Proxy"))
    assert is_wanted(build("gateway.access"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"GATEWAY_KEY": " "}, "GATEWAY_KEY is unset"),
        ({"GATEWAY_ADMIN_KEY": ""}, "GATEWAY_ADMIN_KEY is unset"),
        ({"GATEWAY_CONFIG": ""}, "GATEWAY_CONFIG is unset"),
        ({"GATEWAY_KEY": ADMIN}, "are the same"),
        ({"GATEWAY_PORT": "0"}, "GATEWAY_PORT is '0'"),
        ({"GATEWAY_PORT": "8e3"}, "whole number from 1 to 65535"),
        ({"GATEWAY_WORKERS": "-1"}, "GATEWAY_WORKERS is '-1'"),
        ({"GATEWAY_LOG_PROMPTS": "maybe"}, "expected true or false"),
    ],
)
def test_a_wrong_setting_is_one_line_without_the_keys(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        parse_settings({**ENVIRONMENT, **changes})
    assert "\n" not in str(caught.value)
    assert ADMIN not in str(caught.value)


def test_settings_have_safe_defaults() -> None:
    expected = Settings("127.0.0.1", 8000, "c.yaml", 1, ADMIN, CLIENT, False, 32 * 1024 * 1024, 20)
    assert parse_settings(ENVIRONMENT) == expected


def test_every_unset_variable_of_the_configuration_is_named() -> None:
    text = "api_key: os.environ/B_KEY\napi_base: os.environ/A_URL\nother: os.environ/SET"
    with pytest.raises(SettingsError, match="A_URL, B_KEY"):
        check_references(text, {"SET": "1", "B_KEY": ""})
    check_references(text, {"SET": "1", "B_KEY": "1", "A_URL": "1"})


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps({"error": text}).encode()))
def test_any_error_body_of_litellms_becomes_an_error(body: bytes) -> None:
    error = explain(500, body, None, "m")
    assert json.loads(error.build_body(is_anthropic=False))["error"]["code"] == "upstream_error"
    replace_stream_errors(body, lambda _: error)
    assert shorten(read_message(body)) in error.message
