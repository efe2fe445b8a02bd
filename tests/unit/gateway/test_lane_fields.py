"""What a server is sent of the fields that a client sent, and what an answer in one piece holds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import orjson
import pytest
from gateway.catalog.values import Provider, Route, Target
from gateway.errors import RefusedError
from gateway.formats.call import Call
from gateway.lanes.abilities import find_warning
from gateway.lanes.choose import build_stream_request
from gateway.lanes.upstream import Upstream
from gateway.lanes.whole import carry_rerank
from gateway.outcomes import TargetError

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "top_k": 40, "temperature": 0}


def build_target(kind: str, mode: Any = "chat") -> Target:
    return Target("m", Provider("p", kind), "upstream-m", mode, "http://server.test/v1")


@pytest.mark.parametrize(
    ("kind", "gets_it"), [("engine", True), ("vllm", True), ("openai-compatible", True), ("openai", False)]
)
def test_a_field_goes_to_those_servers_that_know_it_and_the_client_hears_of_the_others(
    kind: str, gets_it: bool
) -> None:
    call, target = Call("chat", CHAT, "m", "id"), build_target(kind)
    request = build_stream_request(call, target, Route("m", (target,)))
    assert ("top_k" in orjson.loads(request.body)) is gets_it
    assert orjson.loads(request.body)["temperature"] == 0
    assert request.headers["x-request-id"] == "id"
    assert find_warning(call, target) == ("" if gets_it else "fields-left-out: top_k")


def test_what_claude_code_sends_needs_no_warning() -> None:
    body = {**CHAT, "max_tokens": 9, "metadata": {"user_id": "u"}, "thinking": {"type": "adaptive"}}
    call = Call("messages", body, "m", "id")
    assert {find_warning(call, build_target(kind)) for kind in ("engine", "vllm", "openai", "anthropic")} == {""}


def test_a_field_whose_answer_would_be_another_is_refused_before_anything_is_sent() -> None:
    target = build_target("engine")
    call = Call("chat", {**CHAT, "structured_outputs": {"json": {}}}, "m", "id")
    with pytest.raises(RefusedError) as caught:
        build_stream_request(call, target, Route("m", (target,)))
    assert caught.value.error.param == "structured_outputs"


class Answers:
    """Servers that all give this answer to each batch; keeps what they were asked."""

    def __init__(self, results: Any) -> None:
        self.results = results
        self.asked: list[dict[str, Any]] = []

    async def ask(self, target: Target, path: str, value: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        self.asked.append(value)
        assert headers["x-request-id"] == "id"
        return {"results": self.results, "usage": {"prompt_tokens": 3, "total_tokens": 3}}


class Kept:
    """A reply that keeps what it is given."""

    has_begun, warning, target, usage = False, "", "", None

    async def whole(self, body: bytes) -> None:
        self.body = orjson.loads(body)


def rerank(results: Any, **fields: Any) -> tuple[Answers, dict[str, Any]]:
    body = {"model": "m", "query": "q", "documents": ["zero", {"text": "one"}], **fields}
    upstream, reply = Answers(results), Kept()
    target = build_target("engine", "rerank")
    asyncio.run(
        carry_rerank(Call("rerank", body, "m", "id"), target, cast("Upstream", upstream), cast("Any", reply), 60.0)
    )
    return upstream, reply.body


SCORES = [{"index": 0, "relevance_score": 0.1}, {"index": 1, "relevance_score": 0.9}]


def test_a_reranked_answer_repeats_documents_where_the_client_wants_them() -> None:
    upstream, answer = rerank(SCORES, return_documents=True, top_n=2)
    assert answer["results"] == [
        {**SCORES[1], "document": {"text": "one"}},
        {**SCORES[0], "document": {"text": "zero"}},
    ]
    assert upstream.asked[0].keys() == {"model", "query", "documents"}
    assert rerank(SCORES)[1]["results"] == [SCORES[1], SCORES[0]]


@pytest.mark.parametrize("index", [0, 2, -1])
def test_scores_of_documents_that_were_not_asked_for_are_a_broken_answer(index: int) -> None:
    with pytest.raises(TargetError, match="broken_answer"):
        rerank([SCORES[0], {"index": index, "relevance_score": 0.5}])
