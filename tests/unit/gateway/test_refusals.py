"""What a server's refusal becomes: the right outcome, and nothing of the server's words."""

from __future__ import annotations

import json
import re

import pytest
from gateway import outcomes
from gateway.lanes.refusals import classify_refusal, read_retry_after
from gateway.outcomes import OUTCOMES, Blame, Outcome
from hypothesis import given
from hypothesis import strategies as st

OVERFLOW = {"type": "exceed_context_size_error", "message": "x", "n_prompt_tokens": 9000, "n_ctx": 8192}


def body(**details: object) -> bytes:
    return json.dumps({"error": details}).encode()


@pytest.mark.parametrize(
    ("status", "content", "outcome"),
    [
        (400, body(message="bad"), outcomes.INVALID_REQUEST),
        (413, b"", outcomes.INVALID_REQUEST),
        (422, b'{"detail": [{"loc": ["body"]}]}', outcomes.INVALID_REQUEST),
        (400, body(**OVERFLOW), outcomes.CONTEXT_LENGTH_EXCEEDED),
        (400, body(code="context_length_exceeded", message="?"), outcomes.CONTEXT_LENGTH_EXCEEDED),
        (401, b"", outcomes.PROVIDER_REFUSED_KEY),
        (403, b"", outcomes.PROVIDER_REFUSED_KEY),
        (404, b"", outcomes.PROVIDER_LACKS_MODEL),
        (408, b"", outcomes.SERVER_ERROR),
        (429, b"", outcomes.RATE_LIMITED),
        (500, body(message="CUDA out of memory"), outcomes.SERVER_ERROR),
        (500, body(message="image input is not supported - hint: provide the mmproj"), outcomes.UNSUPPORTED_CONTENT),
        (500, body(message="Missing tool name: {}"), outcomes.INVALID_REQUEST),
        (500, body(message="input (9000 tokens) is too large to process"), outcomes.INVALID_REQUEST),
        (502, b"<html>", outcomes.SERVER_ERROR),
        (503, body(message="Loading model"), outcomes.MODEL_LOADING),
        (503, b"", outcomes.SERVER_ERROR),
        (302, b"", outcomes.SERVER_ERROR),
    ],
)
def test_every_status_has_an_outcome(status: int, content: bytes, outcome: Outcome) -> None:
    assert classify_refusal(status, {}, content).outcome is outcome


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "prompt is too long: 9000 tokens > 8192 maximum",
        "input (9000 tokens) is too large to process. increase the physical batch size (current batch size: 8192)",
    ],
)
def test_an_overflow_is_one_sentence_with_both_numbers(message: str) -> None:
    for details in ({"message": message}, OVERFLOW):
        error = classify_refusal(400, {}, body(**details))
        assert error.outcome is outcomes.CONTEXT_LENGTH_EXCEEDED
        # What Claude Code 2.1.197 looks for before it shortens its conversation.
        found = re.search(r"prompt is too long[^0-9]*(\d+)\s*tokens?\s*>\s*(\d+)", error.text)
        assert found
        assert found.groups() == ("9000", "8192")
        assert "CONTEXT_LENGTH" in error.text


def test_only_a_field_is_taken_from_what_a_server_says() -> None:
    assert classify_refusal(400, {}, body(message="secret", param="top_k")).param == "top_k"
    assert classify_refusal(400, {}, body(message="secret", param="see http://10.0.0.1")).param is None


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("0.5", 0.5), ("", None), ("soon", None), ("-1", None),
                                               ("nan", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)])  # fmt: skip
def test_retry_after_is_taken_in_seconds(text: str, seconds: float | None) -> None:
    assert read_retry_after({"retry-after": text}) == seconds


@given(st.integers(300, 599), st.binary(max_size=300))
def test_anything_is_an_outcome_of_the_table(status: int, content: bytes) -> None:
    assert classify_refusal(status, {}, content).outcome in OUTCOMES


def test_the_table_says_what_follows_once() -> None:
    for outcome in OUTCOMES:
        assert outcome.is_retried == (outcome.blame is Blame.SERVER)
        assert outcome.falls_back == (outcome.blame is not Blame.CLIENT)
        assert (outcome.status == 400) == (outcome.blame is Blame.CLIENT)
    assert len({outcome.code for outcome in OUTCOMES}) == len(OUTCOMES)
