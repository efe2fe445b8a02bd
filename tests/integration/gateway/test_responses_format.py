"""OpenAI's Responses format against engines that really call tools and think, through the running gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseReasoningItem

from tests.demo_templates import THINKING_QUESTION, TOOL_QUESTION
from tests.integration.stack_site import DEADLINE_S, Site

Json = dict[str, Any]

CITIES, DAYS = ("Seoul", "Busan"), (1, 2, 3)
TOOL: Json = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": CITIES}, "days": {"type": "integer", "enum": DAYS}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "strict": True,
}
ASK_FOR_TOOL: Json = {
    "model": "local-tools",
    "temperature": 0,
    "max_output_tokens": 200,
    "input": TOOL_QUESTION,
    "tools": [TOOL],
}


@pytest.fixture(scope="module")
def client(tools_site: Site) -> Iterator[openai.OpenAI]:
    key = tools_site.keys["GATEWAY_KEY"]
    with openai.OpenAI(base_url=f"{tools_site.url}/v1", api_key=key, timeout=DEADLINE_S, max_retries=0) as client:
        yield client


def _check_call(response: Response) -> ResponseFunctionToolCall:
    (item,) = response.output
    assert isinstance(item, ResponseFunctionToolCall)
    assert item.name == "weather"
    arguments = json.loads(item.arguments)
    assert arguments["city"] in CITIES
    assert arguments["days"] in DAYS
    assert (response.status, response.model, response.store) == ("completed", "local-tools", False)  # type: ignore[attr-defined]
    return item


def test_a_tool_is_called_and_its_result_taken(client: openai.OpenAI) -> None:
    call = _check_call(client.responses.create(**ASK_FOR_TOOL))
    items = [
        {"role": "user", "content": TOOL_QUESTION},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    request: Json = {**ASK_FOR_TOOL, "input": items}
    answer = client.responses.create(**request)
    assert answer.usage
    assert answer.usage.output_tokens > 0


def test_a_tool_call_is_streamed_in_pieces(client: openai.OpenAI) -> None:
    with client.responses.stream(**ASK_FOR_TOOL) as events:
        types = [event.type for event in events]
        _check_call(events.get_final_response())
    assert types[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert types.count("response.function_call_arguments.delta") > 1
    assert types[-3:] == [
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "name": "weather"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
    ],
)
def test_a_tool_that_has_to_be_called(client: openai.OpenAI, choice: Any) -> None:
    other = {**TOOL, "name": "news"}
    request: Json = {**ASK_FOR_TOOL, "tools": [other, TOOL] if choice != "required" else [TOOL], "tool_choice": choice}
    _check_call(client.responses.create(**request))


def test_a_tool_of_a_namespace_is_called_by_its_own_name(client: openai.OpenAI) -> None:
    namespace = {"type": "namespace", "name": "city", "description": "Of cities.", "tools": [TOOL]}
    request: Json = {**ASK_FOR_TOOL, "tools": [namespace, {"type": "web_search", "external_web_access": True}]}
    call = _check_call(client.responses.create(**request))
    assert call.namespace == "city"


@pytest.mark.parametrize("summary", [None, "auto"])
def test_thoughts_are_an_item_of_their_own(client: openai.OpenAI, summary: str | None) -> None:
    request: Json = {"reasoning": {"summary": summary}} if summary else {}
    with client.responses.stream(
        model="local-thinking", temperature=0, max_output_tokens=200, input=THINKING_QUESTION, **request
    ) as events:
        types = [event.type for event in events]
        response = events.get_final_response()
    thought, message = response.output
    assert isinstance(thought, ResponseReasoningItem)
    parts = thought.summary if summary else thought.content
    assert parts
    assert parts[0].text
    assert message.type == "message"
    assert "int main(void)" in response.output_text
    assert (f"response.reasoning_{'summary_' if summary else ''}text.delta") in types


def test_a_schema_binds_the_answer(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": CITIES}}, "required": ["city"]}
    request: Json = {"text": {"format": {"type": "json_schema", "name": "city", "schema": schema}}}
    response = client.responses.create(model="local-chat", input="Which city?", max_output_tokens=60, **request)
    assert json.loads(response.output_text)["city"] in CITIES


def test_an_answer_that_was_cut_is_incomplete(client: openai.OpenAI) -> None:
    response = client.responses.create(model="local-chat", temperature=0, input="Count to ten", max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage
    assert response.usage.output_tokens == 3


def test_tokens_are_counted_as_they_are_used(client: openai.OpenAI) -> None:
    request: Json = {**ASK_FOR_TOOL, "instructions": "Be good."}
    countable = {name: request[name] for name in ("model", "input", "tools", "instructions")}
    counted = client.responses.input_tokens.count(**countable).input_tokens
    usage = client.responses.create(**request).usage
    assert usage
    assert usage.input_tokens == counted


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"tools": [TOOL, {"type": "file_search", "vector_store_ids": ["a"]}]}, "tools[1].type"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_the_name_of_its_field(
    client: openai.OpenAI, fields: Json, param: str
) -> None:
    request: Json = {**ASK_FOR_TOOL, **fields}
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**request)
    assert refused.value.param == param
