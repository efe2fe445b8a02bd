"""What Anthropic's format alone has, through the running gateway, against engines that really call tools and think."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.tool_model import ANSWER, THOUGHT

Json = dict[str, Any]

CITIES, DAYS = ("Seoul", "Busan"), (1, 2, 3)
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": CITIES}, "days": {"type": "integer", "enum": DAYS}},
    "required": ["city", "days"],
}
TOOL: Json = {"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}
ASK_FOR_TOOL: Json = {
    "model": "local-chat",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "What is the weather like?"}],
    "tools": [TOOL],
    "extra_body": {"temperature": 0},
}


def test_a_tool_call_is_streamed_in_pieces(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(**ASK_FOR_TOOL) as events:
        types: list[str] = [event.type for event in events]
        message = events.get_final_message()
    (block,) = message.content
    assert isinstance(block, anthropic.types.ToolUseBlock)
    assert block.input["city"] in CITIES
    assert block.input["days"] in DAYS
    assert types.count("input_json") > 1
    assert types.count("content_block_start") == types.count("content_block_stop") == 1


def test_tokens_are_counted_as_they_are_used(anthropic_client: anthropic.Anthropic) -> None:
    """Counted beforehand, told as the answer begins, and told at its end: one number, tools and system included."""
    request = {**ASK_FOR_TOOL, "system": [{"type": "text", "text": "Be good."}, {"type": "text", "text": "Be quick."}]}
    countable = {name: request[name] for name in ("model", "messages", "tools", "system")}
    counted = anthropic_client.messages.count_tokens(**countable).input_tokens
    with anthropic_client.messages.stream(**request) as events:
        begun = next(event.message.usage for event in events if event.type == "message_start")
        ended = events.get_final_message().usage
    assert begun.input_tokens + (begun.cache_read_input_tokens or 0) == counted
    assert ended.input_tokens + (ended.cache_read_input_tokens or 0) == counted
    assert ended.output_tokens > 1


@pytest.mark.parametrize("display", ["summarized", "omitted"])
def test_thoughts_are_shown_or_only_marked(anthropic_client: anthropic.Anthropic, display: str) -> None:
    request: Json = {"thinking": {"type": "adaptive", "display": display}}
    message = anthropic_client.messages.create(
        model="local-code", max_tokens=50, messages=[{"role": "user", "content": "Hello."}], **request
    )
    thought, text = message.content
    assert isinstance(thought, anthropic.types.ThinkingBlock)
    assert thought.thinking.strip() == (THOUGHT if display == "summarized" else "")
    assert isinstance(text, anthropic.types.TextBlock)
    assert text.text == ANSWER


def test_what_cannot_be_honoured_is_refused_by_the_name_of_its_field(anthropic_client: anthropic.Anthropic) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    request: Json = {**ASK_FOR_TOOL, "tools": [TOOL, search]}
    with pytest.raises(anthropic.BadRequestError, match=r"tools\.1\.type: tools of type 'web_search_20250305'"):
        anthropic_client.messages.create(**request)
