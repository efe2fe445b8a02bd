"""A line of the gateway's log as a person reads it, and every other program's as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from stackctl.core.text.log_lines import write_log_line

HEAD = {"time": "2026-11-28T14:20:49.123+09:00", "level": "info", "logger": "gateway.access"}


def write(facts: Mapping[str, object]) -> str:
    return json.dumps({**HEAD, **facts}, separators=(",", ":"))


def test_a_request_is_one_line_of_words() -> None:
    facts = {
        "event": "request", "request": "req_1", "key": "client", "method": "POST", "endpoint": "/v1/messages",
        "status": 503, "duration_ms": 12.3, "first_byte_ms": 4.5, "model": "local-chat", "error": "queue_full",
        "complete": False,
    }  # fmt: skip
    assert write_log_line(write(facts)) == (
        "2026-11-28T14:20:49.123+09:00 INFO gateway.access: POST /v1/messages 503 request=req_1 key=client"
        " duration=12.3 ms first_byte=4.5 ms model=local-chat error=queue_full incomplete"
    )


def test_a_message_and_the_places_of_an_exception() -> None:
    facts = {"level": "error", "logger": "LiteLLM", "message": "withheld", "exception": ["builtins.KeyError at f:7"]}
    assert write_log_line(write(facts)) == (
        "2026-11-28T14:20:49.123+09:00 ERROR LiteLLM: withheld\n  builtins.KeyError at f:7"
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "launch: api-gateway starts as process 7",
        '{"time": "2026',
        '{"time": 7, "level": "info", "logger": "x"}',
        '{"time": "t", "level": "info", "logger": "x", "exception": 7}',
        '{"tid": "an engine that logs JSON"}',
        '{"time":"2026-11-28T14:20:49.123+09:00","level":"info","log',
    ],
)
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert write_log_line(line) == line
