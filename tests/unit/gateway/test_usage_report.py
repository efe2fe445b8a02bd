"""``usage.report``: what it adds up, over HTTP and while the gateway is stopped, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway.administer import administer
from gateway.state.database import Database, prepare
from gateway.state.usage import add_usage

from tests.gateway_calls import ADMIN, CLIENT, build_gate, call
from tests.unit.gateway.test_usage_table import DAY_S, NOON, row

NOTHING = {"requests": 0, "failed": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0, "duration_s": 0}


def fill(folder: Path) -> Path:
    path = prepare(folder)
    database = Database(path)
    rows = [row(), row(key="bob", cached_tokens=3), row(NOON + DAY_S, outcome="queue_full", status=503)]
    database.write_here(lambda connection: add_usage(connection, rows))
    database.close_here()
    return path


def ask(folder: Path, **fields: Any) -> tuple[int, Any]:
    status, body = administer(json.dumps({"do": "usage.report", **fields}).encode(), {"GATEWAY_STATE": str(folder)})
    return status, json.loads(body)


def test_a_report_has_rows_and_their_sum(tmp_path: Path) -> None:
    fill(tmp_path)
    status, report = ask(tmp_path)
    assert status == 200
    assert report["rows"][0] == {
        "name": "ann",
        "requests": 2,
        "failed": 1,
        "prompt_tokens": 20,
        "completion_tokens": 4,
        "cached_tokens": 0,
        "duration_s": 1.0,
    }
    assert report["total"] == {
        "requests": 3,
        "failed": 1,
        "prompt_tokens": 30,
        "completion_tokens": 6,
        "cached_tokens": 3,
        "duration_s": 1.5,
    }
    assert (report["since"], report["until"]) == (None, None)


def test_a_span_has_what_ended_in_it(tmp_path: Path) -> None:
    fill(tmp_path)
    _, report = ask(tmp_path, by="day", since=NOON + 1)
    assert [item["name"] for item in report["rows"]] == ["2024-10-05"]
    assert report["since"] == NOON + 1
    assert ask(tmp_path, until=NOON)[1]["total"] == NOTHING


def test_a_running_gateway_answers_the_admin_key_alone(tmp_path: Path) -> None:
    gate = build_gate(state=fill(tmp_path), GATEWAY_USAGE_DAYS="0")
    asked = {"do": "usage.report", "by": "model"}
    answer = call(gate, "POST", "/admin", ADMIN, json=asked)
    assert answer.json()["rows"][0]["name"] == "chat"
    assert call(gate, "POST", "/admin", CLIENT, json=asked).status_code == 403


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("by", "secret"),
        ("by", 7),
        ("by", ["key"]),
        ("since", "yesterday"),
        ("since", -1),
        ("since", True),
        ("until", 1e300),
        ("until", {}),
        ("upto", 1),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, field: str, value: Any) -> None:
    prepare(tmp_path)
    status, body = ask(tmp_path, **{field: value})
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_parameter", field)


def test_a_span_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert ask(tmp_path, since=10, until=9)[0] == 400


def test_what_a_gateway_was_asked_is_in_its_report(tmp_path: Path) -> None:
    path = prepare(tmp_path)
    body = {"model": "claude-x", "messages": [{"role": "user", "content": "planted"}]}
    gate = build_gate(state=path)
    assert call(gate, "POST", "/v1/chat/completions", json=body).status_code == 200
    assert call(gate, "POST", "/v1/chat/completions", json={**body, "model": "unknown"}).status_code == 404
    assert call(gate, "POST", "/v1/chat/completions", key="sk-wrong", json=body).status_code == 401
    assert call(gate, "GET", "/v1/models").status_code == 200
    _, report = ask(tmp_path, by="model")
    assert {item["name"]: (item["requests"], item["failed"]) for item in report["rows"]} == {
        "local-chat": (1, 0),
        "": (1, 1),
    }
    assert b"planted" not in path.read_bytes()
