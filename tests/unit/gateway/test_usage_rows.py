"""What a request leaves in the table of usage: tokens counted or estimated, a hash, and never a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from gateway.observe.usage_rows import Record, build_row, estimate_prompt

SALT = b"s" * 32
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "planted-prompt"}], "temperature": 0}
COUNTED = {"prompt_tokens": 12, "completion_tokens": 5}


def record(**changes: Any) -> Record:
    facts: dict[str, Any] = {
        "ended_at": 1000.0,
        "request": "r",
        "key": "ann",
        "model": "chat",
        "format": "chat",
        "provider": "engine",
        "target": "chat",
        "tried": (),
        "status": 200,
        "outcome": "ok",
        "counted": (COUNTED,),
        "pieces": 5,
        "queue_s": 0.0,
        "first_s": 0.1,
        "duration_s": 0.5,
        "body": BODY,
    }
    return Record(**{**facts, **changes})


def count(**changes: Any) -> tuple[int, int, bool]:
    row = build_row(record(**changes), SALT)
    return row.prompt_tokens, row.completion_tokens, bool(row.is_estimate)


def test_what_the_server_counted_is_kept() -> None:
    row = build_row(record(counted=({**COUNTED, "prompt_tokens_details": {"cached_tokens": 8}},)), SALT)
    assert (row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.is_estimate) == (12, 5, 8, False)


def test_tries_that_failed_after_they_were_counted_count_too() -> None:
    assert count(counted=({"prompt_tokens": 12, "completion_tokens": 0}, COUNTED)) == (24, 5, False)


def test_cached_tokens_that_nobody_told_are_unknown() -> None:
    assert build_row(record(), SALT).cached_tokens is None


@pytest.mark.parametrize("provider", ["", "engine"])
def test_a_refused_request_took_nothing(provider: str) -> None:
    assert count(status=503, outcome="queue_full", counted=(), pieces=0, provider=provider) == (0, 0, False)


def test_a_client_that_left_before_the_count_gets_an_estimate() -> None:
    prompt, completion, is_estimate = count(status=499, outcome="client_disconnected", counted=(), pieces=40)
    assert (prompt, completion, is_estimate) == (estimate_prompt(BODY), 40, True)
    assert prompt > 0


def test_a_client_that_left_before_a_server_was_asked_took_nothing() -> None:
    assert count(status=499, outcome="client_disconnected", counted=(), pieces=0, provider="") == (0, 0, False)


def test_a_server_that_had_only_begun_to_count_is_not_believed() -> None:
    begun = {"prompt_tokens": 12, "completion_tokens": 1}
    assert count(outcome="upstream_timeout", counted=(begun,), pieces=30) == (12, 30, True)


def test_an_answer_that_its_server_did_not_count_is_estimated() -> None:
    assert count(counted=(), pieces=9) == (estimate_prompt(BODY), 9, True)


@pytest.mark.parametrize("wrong", [-1, "12", True, 1.5, None, 2**60, [1]])
def test_what_is_no_count_is_none(wrong: Any) -> None:
    usage: Mapping[str, Any] = {"prompt_tokens": 3, "completion_tokens": wrong, "prompt_tokens_details": wrong}
    row = build_row(record(counted=(usage,)), SALT)
    assert (row.prompt_tokens, row.completion_tokens, row.cached_tokens) == (3, 0, None)


def test_counting_a_prompt_takes_nothing() -> None:
    assert count(format="messages_count", counted=(), pieces=0) == (0, 0, False)


def test_equal_prompts_have_equal_hashes_whatever_else_is_asked() -> None:
    first = build_row(record(), SALT).prompt_hash
    turned = {"temperature": 1, "messages": [dict(reversed(item.items())) for item in BODY["messages"]], "model": "x"}
    assert build_row(record(body=turned), SALT).prompt_hash == first
    other = {**BODY, "messages": [{"role": "user", "content": "another"}]}
    assert build_row(record(body=other), SALT).prompt_hash != first
    assert build_row(record(), b"t" * 32).prompt_hash != first
    assert first is not None
    assert len(first) == 32


def test_a_row_holds_no_text_and_without_a_salt_no_hash() -> None:
    assert b"planted" not in repr(build_row(record(), SALT)).encode()
    assert build_row(record(), None).prompt_hash is None
    assert build_row(record(body=None, counted=()), SALT).prompt_hash is None


def test_a_prompt_that_is_nested_too_deeply_has_no_hash_and_its_row_is_kept() -> None:
    deep: Any = "x"
    for _ in range(800):
        deep = [deep]
    with pytest.raises(orjson.JSONEncodeError):
        orjson.dumps(deep)
    row = build_row(record(body={"messages": deep}, counted=()), SALT)
    assert (row.key, row.prompt_hash) == ("ann", None)


def test_what_was_tried_before_is_told() -> None:
    row = build_row(record(tried=(("fast", "upstream_error"),)), SALT)
    assert json.loads(row.tried) == [{"target": "fast", "outcome": "upstream_error"}]


def test_pictures_are_left_out_of_an_estimate() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    question = {"type": "text", "text": "what is this?" * 4}
    body = {"messages": [{"role": "user", "content": [question, picture]}]}
    assert 10 < estimate_prompt(body) < 100
    assert estimate_prompt({"input": [[1, 2, 3], [4, 5]]}) == 5
