"""What the OpenAPI document says is so: requests made from it, valid and not, and the answers held to it."""

from __future__ import annotations

from typing import Any

import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.agents.service import ANALYSIS, QUESTIONS, REQUIREMENTS, Agents, Upstream

EXAMPLES = 25
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_TIMEOUT_S = 60.0


def test_every_answer_is_one_that_the_document_names(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer()
    schema = schemathesis.openapi.from_dict(scripted.get("/openapi.json").json())
    seen: set[int] = set()

    for path in (ANALYSIS, QUESTIONS, REQUIREMENTS):

        @hypothesis.given(case=schema[path]["POST"].as_strategy())
        @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None)
        def ask(case: schemathesis.Case[Any]) -> None:
            headers = {"authorization": f"Bearer {scripted.key}"}
            answer = case.call(base_url=scripted.url, headers=headers, timeout=_TIMEOUT_S)
            case.validate_response(answer, checks=CHECKS)
            seen.add(answer.status_code)

        ask()

    assert 200 in seen
