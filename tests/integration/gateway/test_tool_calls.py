"""Tools through the running gateway, with the SDKs that programs use, against a model that really calls them."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from tests.integration.gateway.tool_clients import ChatClient, MessagesClient, ResponsesClient, ToolClient
from tests.tool_model import ANSWER, THOUGHT

QUESTION = [{"role": "user", "content": "What is the weather like?"}]
TOOL_END = {"chat": "tool_calls", "responses": "completed", "messages": "tool_use"}
TEXT_END = {"chat": "stop", "responses": "completed", "messages": "end_turn"}
# At temperature 1 the model calls as often as chance has it: more than once in one of two answers.
TRIES = 12

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(params=["chat", "responses", "messages"])
def wire_format(request: pytest.FixtureRequest) -> str:
    """The format of a test's client."""
    return str(request.param)


@pytest.fixture
def client(wire_format: str, openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> ToolClient:
    """The client of that format."""
    if wire_format == "messages":
        return MessagesClient(anthropic_client)
    return ChatClient(openai_client) if wire_format == "chat" else ResponsesClient(openai_client)


@both_ways
@pytest.mark.parametrize("model", ["local-chat", "local-code"], ids=["plain", "thinking"])
def test_a_tool_is_called_and_its_result_answered(
    client: ToolClient, wire_format: str, model: str, stream: bool
) -> None:
    thought = THOUGHT if model == "local-code" else ""

    called = client.ask(QUESTION, model=model, stream=stream, choice="weather")

    assert (called.model, called.text, called.thought.strip()) == (model, "", thought)
    (call,) = called.calls
    assert (call.name, call.arguments) == ("weather", {"city": "", "days": 0, "unit": call.arguments["unit"]})
    assert call.arguments["unit"] in ("c", "f")
    assert called.end == TOOL_END[wire_format]

    turns = [*QUESTION, *called.kept, *client.write_results(called.calls, "sunny")]
    told = client.ask(turns, model=model, stream=stream)

    assert (told.model, told.text, told.thought.strip(), told.calls) == (model, ANSWER, thought, ())
    assert told.end == TEXT_END[wire_format]


@both_ways
def test_tool_choice_decides_whether_and_what_is_called(client: ToolClient, stream: bool) -> None:
    def list_calls(choice: str) -> list[str]:
        return [call.name for call in client.ask(QUESTION, choice=choice, stream=stream).calls]

    (free,) = list_calls("auto")
    assert free in ("weather", "clock")
    assert list_calls("required") == [free]
    assert list_calls("clock") == ["clock"]
    assert list_calls("weather") == ["weather"]
    assert list_calls("none") == []


@both_ways
def test_without_a_choice_of_tools_the_answer_is_a_text(client: ToolClient, stream: bool) -> None:
    assert client.ask(QUESTION, choice="none", stream=stream).text == ANSWER


@both_ways
def test_one_call_at_most_where_several_are_forbidden(client: ToolClient, stream: bool) -> None:
    def count_calls(parallel: bool) -> set[int]:
        asked = (client.ask(QUESTION, temperature=1, parallel=parallel, stream=stream) for _ in range(TRIES))
        return {len(answer.calls) for answer in asked}

    assert max(count_calls(parallel=True)) > 1
    assert count_calls(parallel=False) == {1}


# Chat completions have no way to count.
@both_ways
@pytest.mark.parametrize("wire_format", ["responses", "messages"], indirect=True)
def test_the_count_of_a_prompt_is_what_the_answer_says_it_had(client: ToolClient, stream: bool) -> None:
    def check(turns: list[Any], choice: str) -> None:
        assert client.count(turns, choice) == client.ask(turns, choice=choice, stream=stream).prompt_tokens

    for choice in ("auto", "none", "weather"):
        check(QUESTION, choice)
    called = client.ask(QUESTION)
    for choice in ("auto", "none"):
        check([*QUESTION, *called.kept, *client.write_results(called.calls, "sunny")], choice)


@both_ways
def test_thinking_can_be_left_out(anthropic_client: anthropic.Anthropic, stream: bool) -> None:
    client = MessagesClient(anthropic_client)

    answer = client.ask(QUESTION, model="local-code", stream=stream, thinking={"type": "disabled"})

    assert answer.thought == ""
    assert len(answer.calls) == 1
