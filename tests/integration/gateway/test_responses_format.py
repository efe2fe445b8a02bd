"""OpenAI's Responses format against engines that really call tools and think, through the running gateway."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseReasoningItem

from tests.tool_model import ANSWER, FOREVER

Json = dict[str, Any]

QUESTION = "What is the weather like?"
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
    "model": "local-chat",
    "temperature": 0,
    "max_output_tokens": 200,
    "input": QUESTION,
    "tools": [TOOL],
}


def _check_call(response: Response) -> ResponseFunctionToolCall:
    (item,) = response.output
    assert isinstance(item, ResponseFunctionToolCall)
    assert item.name == "weather"
    arguments = json.loads(item.arguments)
    assert arguments["city"] in CITIES
    assert arguments["days"] in DAYS
    assert (response.status, response.model, response.store) == ("completed", "local-chat", False)  # type: ignore[attr-defined]
    return item


def test_a_tool_is_called_and_its_result_taken(openai_client: openai.OpenAI) -> None:
    call = _check_call(openai_client.responses.create(**ASK_FOR_TOOL))
    items = [
        {"role": "user", "content": QUESTION},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    request: Json = {**ASK_FOR_TOOL, "input": items}
    answer = openai_client.responses.create(**request)
    assert answer.usage
    assert answer.usage.output_tokens > 0


def test_a_tool_call_is_streamed_in_pieces(openai_client: openai.OpenAI) -> None:
    with openai_client.responses.stream(**ASK_FOR_TOOL) as events:
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
def test_a_tool_that_has_to_be_called(openai_client: openai.OpenAI, choice: Any) -> None:
    other = {**TOOL, "name": "news"}
    request: Json = {**ASK_FOR_TOOL, "tools": [other, TOOL] if choice != "required" else [TOOL], "tool_choice": choice}
    _check_call(openai_client.responses.create(**request))


def test_a_tool_of_a_namespace_is_called_by_its_own_name(openai_client: openai.OpenAI) -> None:
    namespace = {"type": "namespace", "name": "city", "description": "Of cities.", "tools": [TOOL]}
    request: Json = {**ASK_FOR_TOOL, "tools": [namespace, {"type": "web_search", "external_web_access": True}]}
    call = _check_call(openai_client.responses.create(**request))
    assert call.namespace == "city"


@pytest.mark.parametrize("summary", [None, "auto"])
def test_thoughts_are_an_item_of_their_own(openai_client: openai.OpenAI, summary: str | None) -> None:
    request: Json = {"reasoning": {"summary": summary}} if summary else {}
    with openai_client.responses.stream(
        model="local-code", temperature=0, max_output_tokens=200, input=QUESTION, **request
    ) as events:
        types = [event.type for event in events]
        response = events.get_final_response()
    thought, message = response.output
    assert isinstance(thought, ResponseReasoningItem)
    parts = thought.summary if summary else thought.content
    assert parts
    assert parts[0].text
    assert message.type == "message"
    assert response.output_text == ANSWER
    assert (f"response.reasoning_{'summary_' if summary else ''}text.delta") in types


def test_a_schema_binds_the_answer(openai_client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": CITIES}}, "required": ["city"]}
    request: Json = {"text": {"format": {"type": "json_schema", "name": "city", "schema": schema}}}
    response = openai_client.responses.create(model="local-chat", input="Which city?", max_output_tokens=60, **request)
    assert json.loads(response.output_text)["city"] in CITIES


def test_an_answer_that_was_cut_is_incomplete(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(model="local-chat", temperature=0, input=FOREVER, max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage
    assert response.usage.output_tokens == 3


def test_tokens_are_counted_as_they_are_used(openai_client: openai.OpenAI) -> None:
    request: Json = {**ASK_FOR_TOOL, "instructions": "Be good."}
    countable = {name: request[name] for name in ("model", "input", "tools", "instructions")}
    counted = openai_client.responses.input_tokens.count(**countable).input_tokens
    usage = openai_client.responses.create(**request).usage
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
    openai_client: openai.OpenAI, fields: Json, param: str
) -> None:
    request: Json = {**ASK_FOR_TOOL, **fields}
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.responses.create(**request)
    assert refused.value.param == param
