"""The gateway's answers to actions, and the error and next step that each refusal becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackctl.core.access.replies import AdminReply, explain_refusal, parse_printed, parse_reply
from stackctl.errors import ConfigError, RuntimeFailure, StackError


def refuse(status: int, code: str, param: str | None = None) -> AdminReply:
    body: dict[str, Any] = {"error": {"message": "Words of the gateway.", "code": code, "param": param}}
    return parse_reply(status, json.dumps(body))


@pytest.mark.parametrize(
    ("reply", "kind", "hint"),
    [
        (refuse(400, "invalid_parameter", "name"), ConfigError, ""),
        (refuse(404, "not_found", "name"), ConfigError, "run 'stackctl keys list'"),
        (refuse(409, "name_taken", "name"), ConfigError, "stackctl keys rotate NAME"),
        (refuse(503, "state_unavailable"), RuntimeFailure, "stackctl doctor"),
        (refuse(500, "internal_error"), RuntimeFailure, "stackctl logs api-gateway"),
    ],
)
def test_a_refusal_has_the_gateways_words_and_a_next_step(reply: AdminReply, kind: type[StackError], hint: str) -> None:
    error = explain_refusal(reply)
    assert type(error) is kind
    assert error.message == "Words of the gateway."
    assert hint in error.hint


def test_who_does_not_know_the_key_or_the_route_is_another_gateway() -> None:
    assert "does not take this site's GATEWAY_ADMIN_KEY" in explain_refusal(refuse(401, "invalid_api_key")).message
    for reply in (refuse(404, "unknown_route"), parse_reply(404, "<html>not found")):
        error = explain_refusal(reply)
        assert isinstance(error, RuntimeFailure)
        assert "older gateway" in error.message


def test_what_is_no_answer_of_the_program_is_none() -> None:
    assert parse_printed('{"status": 200, "body": {"keys": []}}\n') == AdminReply(200, {"keys": []})
    for text in ("", "Traceback", "[]", '{"status": 200}', '{"status": "x", "body": {}}', '{"status": 200, "body": 7}'):
        assert parse_printed(text) is None


def test_an_answer_that_is_no_object_is_empty_and_a_long_one_is_cut() -> None:
    assert parse_reply(200, "[1]") == parse_reply(200, "<html>") == AdminReply(200, {})
    assert len(explain_refusal(AdminReply(500, {"error": {"message": "x" * 5000}})).message) <= 200
    assert explain_refusal(AdminReply(500, {"error": "text"})).message == "The gateway answered 500."
