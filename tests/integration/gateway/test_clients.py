"""The openai and anthropic Python clients, as programs and editors use them, against the running gateway."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest
from anthropic.types import MessageParam, TextBlock
from openai.types.chat import ChatCompletionUserMessageParam

from tests.integration.stack_site import ANSWERS, DEADLINE_S, Site

QUESTION = "Write hello world in C"
OPENAI_QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": QUESTION}
ANTHROPIC_QUESTION: MessageParam = {"role": "user", "content": QUESTION}

# The anthropic client has no argument for it any more.
LIKELIEST = {"temperature": 0}


@pytest.fixture(scope="module")
def openai_client(stack: Site) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{stack.url}/v1", api_key=stack.keys["GATEWAY_KEY"], timeout=DEADLINE_S, max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="module")
def anthropic_client(stack: Site) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=stack.url, api_key=stack.keys["GATEWAY_KEY"], timeout=DEADLINE_S, max_retries=0
    ) as client:
        yield client


def test_openai_chat(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="local-chat", temperature=0, messages=[OPENAI_QUESTION])
    assert (answer.choices[0].message.content or "").strip() == ANSWERS[QUESTION]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "local-chat"
    assert answer.usage
    assert answer.usage.completion_tokens > 1


def test_openai_chat_stream(openai_client: openai.OpenAI) -> None:
    chunks = list(
        openai_client.chat.completions.create(
            model="local-chat",
            temperature=0,
            messages=[OPENAI_QUESTION],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(filter(None, pieces)).strip() == ANSWERS[QUESTION]
    assert len([piece for piece in pieces if piece]) > 3
    assert "stop" in [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens > 1


def test_openai_completion_of_a_text(openai_client: openai.OpenAI) -> None:
    answer = openai_client.completions.create(model="local-chat", prompt="ping", max_tokens=4, temperature=0)
    assert isinstance(answer.choices[0].text, str)
    assert answer.usage
    assert 1 <= answer.usage.completion_tokens <= 4


def test_openai_embeddings_are_vectors_of_their_texts(openai_client: openai.OpenAI) -> None:
    answer = openai_client.embeddings.create(model="local-embed", input=["ping", "What are you?", "ping"])
    first, second, third = (item.embedding for item in answer.data)
    assert len(first) == len(second) > 16
    assert first == pytest.approx(third, abs=1e-3)
    assert first != pytest.approx(second, abs=1e-2)


def test_openai_responses(openai_client: openai.OpenAI) -> None:
    answer = openai_client.responses.create(model="local-chat", input=QUESTION, temperature=0)
    assert answer.output_text.strip() == ANSWERS[QUESTION]
    events = list(openai_client.responses.create(model="local-chat", input=QUESTION, temperature=0, stream=True))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(pieces).strip() == ANSWERS[QUESTION]
    assert events[-1].type == "response.completed"


def test_openai_models(openai_client: openai.OpenAI) -> None:
    assert {model.id for model in openai_client.models.list()} == {"local-chat", "local-embed"}
    assert openai_client.models.retrieve("local-chat").id == "local-chat"


def test_openai_errors_have_their_own_classes(stack: Site, openai_client: openai.OpenAI) -> None:
    stranger = openai_client.with_options(api_key="sk-wrong")
    with pytest.raises(openai.AuthenticationError, match="key"):
        stranger.models.list()
    with pytest.raises(openai.NotFoundError) as unknown:
        openai_client.chat.completions.create(model="local-chatt", messages=[OPENAI_QUESTION])
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as mode:
        openai_client.chat.completions.create(model="local-embed", messages=[OPENAI_QUESTION])
    assert mode.value.code == "wrong_model_mode"
    long: ChatCompletionUserMessageParam = {"role": "user", "content": "word " * 60_000}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as length:
            openai_client.chat.completions.create(model="local-chat", messages=[long], stream=stream)
        assert length.value.code == "context_length_exceeded"


def test_anthropic_message(anthropic_client: anthropic.Anthropic) -> None:
    answer = anthropic_client.messages.create(
        model="local-chat", max_tokens=64, messages=[ANTHROPIC_QUESTION], extra_body=LIKELIEST
    )
    block = answer.content[0]
    assert isinstance(block, TextBlock)
    assert block.text.strip() == ANSWERS[QUESTION]
    assert answer.stop_reason == "end_turn"
    # Tokens of the question that the engine still knew from an earlier one are counted apart.
    assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) > 1
    assert answer.usage.output_tokens > 1


def test_anthropic_message_stream(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(
        model="local-chat", max_tokens=64, messages=[ANTHROPIC_QUESTION], extra_body=LIKELIEST
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces).strip() == ANSWERS[QUESTION]
    assert len(pieces) > 3
    assert final.stop_reason == "end_turn"


def test_anthropic_counts_tokens(anthropic_client: anthropic.Anthropic) -> None:
    def count(text: str) -> int:
        return anthropic_client.messages.count_tokens(
            model="local-chat", messages=[{"role": "user", "content": text}]
        ).input_tokens

    assert 0 < count("ping") < count("ping " * 50)


def test_anthropic_errors_have_their_own_classes(stack: Site, anthropic_client: anthropic.Anthropic) -> None:
    def ask(client: anthropic.Anthropic, model: str) -> object:
        return client.messages.create(model=model, max_tokens=4, messages=[ANTHROPIC_QUESTION])

    with pytest.raises(anthropic.AuthenticationError) as refused:
        ask(anthropic_client.with_options(api_key="sk-wrong"), "local-chat")
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["error"]["type"] == "authentication_error"
    with pytest.raises(anthropic.NotFoundError):
        ask(anthropic_client, "local-chatt")
