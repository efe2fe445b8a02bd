"""Anthropic's format against engines that really call tools and think, through the running gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.demo_templates import THINKING_QUESTION, TOOL_QUESTION
from tests.integration.stack_site import DEADLINE_S, Site

Json = dict[str, Any]

CITIES, DAYS = ("Seoul", "Busan"), (1, 2, 3)
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": CITIES}, "days": {"type": "integer", "enum": DAYS}},
    "required": ["city", "days"],
}
TOOL: Json = {"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}
LIKELIEST = {"temperature": 0}
ASK_FOR_TOOL: Json = {
    "model": "local-tools",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": TOOL_QUESTION}],
    "tools": [TOOL],
    "extra_body": LIKELIEST,
}


@pytest.fixture(scope="module")
def client(tools_site: Site) -> Iterator[anthropic.Anthropic]:
    key = tools_site.keys["GATEWAY_KEY"]
    with anthropic.Anthropic(base_url=tools_site.url, api_key=key, timeout=DEADLINE_S, max_retries=0) as client:
        yield client


def _check_call(message: anthropic.types.Message) -> anthropic.types.ToolUseBlock:
    (block,) = message.content
    assert isinstance(block, anthropic.types.ToolUseBlock)
    assert block.name == "weather"
    assert block.input["city"] in CITIES
    assert block.input["days"] in DAYS
    assert message.stop_reason == "tool_use"
    assert message.model == "local-tools"
    return block


def test_a_tool_is_called_and_its_result_taken(client: anthropic.Anthropic) -> None:
    block = _check_call(client.messages.create(**ASK_FOR_TOOL))
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
    turns = [{"role": "assistant", "content": [block.to_dict()]}, {"role": "user", "content": [result]}]
    request: Json = {**ASK_FOR_TOOL, "messages": [*ASK_FOR_TOOL["messages"], *turns]}
    answer = client.messages.create(**request)
    assert answer.usage.output_tokens > 0


def test_a_tool_call_is_streamed_in_pieces(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**ASK_FOR_TOOL) as events:
        types: list[str] = [event.type for event in events]
        _check_call(events.get_final_message())
    assert types.count("input_json") > 1
    assert types.count("content_block_start") == types.count("content_block_stop") == 1


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_a_tool_that_has_to_be_called(client: anthropic.Anthropic, choice: Json) -> None:
    request: Json = {**ASK_FOR_TOOL, "tool_choice": choice}
    _check_call(client.messages.create(**request))


def test_no_tool_is_called_when_the_client_forbids_it(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(**ASK_FOR_TOOL, tool_choice={"type": "none"})
    assert [block.type for block in answer.content] == ["text"]
    assert answer.stop_reason == "end_turn"


def test_tokens_are_counted_as_they_are_used(client: anthropic.Anthropic) -> None:
    """Counted beforehand, told as the answer begins, and told at its end: one number, tools and system included."""
    request = {**ASK_FOR_TOOL, "system": [{"type": "text", "text": "Be good."}, {"type": "text", "text": "Be quick."}]}
    countable = {name: request[name] for name in ("model", "messages", "tools", "system")}
    counted = client.messages.count_tokens(**countable).input_tokens
    with client.messages.stream(**request) as events:
        begun = next(event.message.usage for event in events if event.type == "message_start")
        ended = events.get_final_message().usage
    assert begun.input_tokens + (begun.cache_read_input_tokens or 0) == counted
    assert ended.input_tokens + (ended.cache_read_input_tokens or 0) == counted
    assert ended.output_tokens > 1


@pytest.mark.parametrize("thinking", [None, {"type": "disabled"}])
def test_thoughts_are_told_unless_thinking_is_disabled(client: anthropic.Anthropic, thinking: Json | None) -> None:
    request: Json = {"thinking": thinking} if thinking else {}
    with client.messages.stream(
        model="local-thinking",
        max_tokens=200,
        messages=[{"role": "user", "content": THINKING_QUESTION}],
        extra_body=LIKELIEST,
        **request,
    ) as events:
        *thoughts, text = events.get_final_message().content
    assert isinstance(text, anthropic.types.TextBlock)
    assert "int main(void)" in text.text
    assert [block.type for block in thoughts] == ([] if thinking else ["thinking"])


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_stop_sequence_that_ended_an_answer_is_told(client: anthropic.Anthropic, is_streamed: bool) -> None:
    request: Json = {
        "model": "local-chat",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Count to ten"}],
        "stop_sequences": ["9", "7"],
        "extra_body": LIKELIEST,
    }
    answer: anthropic.types.Message
    if is_streamed:
        with client.messages.stream(**request) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**request)
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "7")


def test_what_cannot_be_honoured_is_refused_by_the_name_of_its_field(client: anthropic.Anthropic) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError, match=r"tools\.1\.type: tools of type 'web_search_20250305'"):
        client.messages.create(**{**ASK_FOR_TOOL, "tools": [TOOL, search]})
