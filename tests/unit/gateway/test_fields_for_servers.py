"""Which fields go on to which server, and which of them are refused where it does not know them."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.errors import RefusedError
from gateway.policy.fields import check_fields, fit_server

from tests.unit.gateway.least_requests import LEAST


def test_a_server_gets_what_it_knows() -> None:
    body = check_fields("chat", {**LEAST["chat"], "top_k": 40, "cache_prompt": True, "temperature": 0, "user": "u"})
    assert fit_server("chat", body, "engine") == (body, ())
    assert fit_server("chat", body, "internal") == (body, ())
    sent, names = fit_server("chat", body, "openai")
    assert sent == {**LEAST["chat"], "temperature": 0, "user": "u"}
    assert names == ("top_k", "cache_prompt")


@pytest.mark.parametrize(
    ("kind", "fields", "owner"),
    [
        ("engine", {"structured_outputs": {"json": {}}}, "vLLM's"),
        ("vllm", {"grammar": "root ::= x"}, "llama.cpp's"),
        ("openai", {"json_schema": {"type": "object"}}, "llama.cpp's"),
        ("openai", {"continue_final_message": True}, "llama.cpp and vLLM's"),
    ],
)
def test_a_field_whose_answer_would_be_another_is_refused(kind: str, fields: dict[str, Any], owner: str) -> None:
    with pytest.raises(RefusedError) as caught:
        fit_server("chat", {**LEAST["chat"], **fields}, kind)
    error = caught.value.error
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", next(iter(fields)))
    assert owner in error.message


def test_such_a_field_that_asks_for_nothing_is_left_out() -> None:
    body = {**LEAST["chat"], "use_beam_search": False, "bad_words": []}
    assert fit_server("chat", body, "engine") == (LEAST["chat"], ("use_beam_search", "bad_words"))
