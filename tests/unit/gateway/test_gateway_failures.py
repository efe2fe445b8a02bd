"""The gate when something fails: errors in the client's form, a log without content, wrong settings in one line."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
from gateway.catalog.values import Route
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.lanes.reply import Reply
from gateway.observe.logs import ContentFreeFormatter
from gateway.settings import Settings, SettingsError, check_references, parse_settings

from tests.gateway_calls import (
    ADMIN,
    BODY,
    CHAT,
    CLIENT,
    ENVIRONMENT,
    SECRET,
    Message,
    ScriptedRouter,
    build_gate,
    call,
    call_raw,
)


def test_an_exception_before_the_answer_is_500_and_after_its_begin_leaves_it_unfinished() -> None:
    before = call_raw(build_gate(ScriptedRouter(raised=RuntimeError(SECRET))))
    assert before[0]["status"] == 500
    assert SECRET.encode() not in before[1]["body"]
    after = call_raw(build_gate(ScriptedRouter(chunks=(b"data: 1\n\n",), raised=RuntimeError())))
    assert after[0]["status"] == 200
    assert after[-1]["more_body"] is True


@pytest.mark.parametrize(
    ("raised", "code"), [(RuntimeError(SECRET), "internal_error"), (asyncio.CancelledError(), "shutting_down")]
)
def test_a_stream_that_has_begun_ends_with_the_error(raised: BaseException, code: str) -> None:
    sent = call_raw(build_gate(ScriptedRouter(chunks=(b"data: 1\n\n",), raised=raised, is_streamed=True)))
    assert sent[-1].get("more_body", False) is False
    assert b"".join(message.get("body", b"") for message in sent).decode() == f"data: 1\n\ndata: {code}\n\n"


def test_a_request_cancelled_at_shutdown_is_503() -> None:
    sent = call_raw(build_gate(ScriptedRouter(raised=asyncio.CancelledError())))
    assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]["code"]) == (503, "shutting_down")


def test_a_client_that_leaves_ends_the_work_for_it() -> None:
    class Endless(ScriptedRouter):
        was_cancelled = False

        async def serve(self, call: Call, route: Route, reply: Reply) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.was_cancelled = True
                raise

    steps: Iterator[Message] = iter(
        [{"type": "http.request", "body": json.dumps(BODY).encode()}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(steps)

    router = Endless()
    assert call_raw(build_gate(router), receive) == []
    assert router.was_cancelled


def test_the_access_log_holds_neither_path_nor_body_nor_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = RefusedError(ApiError(503, "upstream_unreachable", SECRET))
    refusal.__cause__ = ConnectionError(SECRET)
    gate = build_gate(ScriptedRouter(raised=refusal))
    call(gate, "GET", f"/{SECRET}?{SECRET}")
    call(gate, "POST", CHAT, json={**BODY, "user": SECRET})
    call(gate, "POST", CHAT, json={"model": SECRET})
    call(gate, "POST", CHAT, SECRET, json=BODY)
    formatter = ContentFreeFormatter()
    text = "\n".join(formatter.format(record) for record in caplog.records if record.name.startswith("gateway"))
    entries = [json.loads(line) for line in text.splitlines()]
    found = next(entry for entry in entries if entry.get("error") == "upstream_unreachable")
    assert found["time"][10] == "T"
    assert found["time"][-6] in "+-"
    assert found.pop("request").startswith("req_")
    assert found.pop("duration_ms") >= found.pop("first_byte_ms") >= 0
    del found["time"]
    assert found == {
        "level": "info", "logger": "gateway.access", "event": "request", "key": "client", "method": "POST",
        "endpoint": CHAT, "status": 503, "model": "local-chat", "error": "upstream_unreachable",
    }  # fmt: skip
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
    text = ContentFreeFormatter().format(record)
    entry = json.loads(text)
    assert (entry["level"], entry["logger"]) == ("error", "LiteLLM")
    assert entry["message"] == "message withheld, from router.acompletion:7"
    assert [item.partition(" at ")[0] for item in entry["exception"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert SECRET not in text


@pytest.mark.parametrize("arguments", [(SECRET, SECRET), (b"\xff",), ()])
def test_a_record_of_ours_that_cannot_be_written_is_withheld(arguments: tuple[object, ...]) -> None:
    record = logging.getLogger("gateway").makeRecord("gateway", 40, "gate.py", 7, "%d \ud800", arguments, None, "serve")
    entry = json.loads(ContentFreeFormatter().format(record))
    assert entry["message"] == "message withheld, from gate.serve:7"


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
        ({"GATEWAY_LOG_LEVEL": "trace"}, "GATEWAY_LOG_LEVEL is 'trace'; expected info or debug"),
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
    assert parse_settings({**ENVIRONMENT, "GATEWAY_LOG_LEVEL": "debug"}).is_verbose


def test_every_unset_variable_of_the_configuration_is_named() -> None:
    text = "api_key: os.environ/B_KEY\napi_base: os.environ/A_URL\nother: os.environ/SET"
    with pytest.raises(SettingsError, match="A_URL, B_KEY"):
        check_references(text, {"SET": "1", "B_KEY": ""})
    check_references(text, {"SET": "1", "B_KEY": "1", "A_URL": "1"})
