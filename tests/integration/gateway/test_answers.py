"""What clients rely on beside tools, through the running gateway: ends, counts, choices, forms, pictures, limits."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionUserMessageParam

from tests.integration.gateway.calling_site import CONTEXT, SLOTS
from tests.integration.gateway.tool_clients import WEATHER, Json
from tests.integration.stack_site import Site
from tests.tool_model import ANSWER, FOREVER

HELLO: ChatCompletionUserMessageParam = {"role": "user", "content": "hello"}
ENDLESS: ChatCompletionUserMessageParam = {"role": "user", "content": FOREVER}
# One pixel.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LONG = "word " * CONTEXT
EMBEDDING_CONTEXT = 8192
WIDTH = 192
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def refuse(call: Callable[[], object]) -> Any:
    """The body of the client's own error for status 400."""
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)) as refused:
        call()
    assert isinstance(refused.value, openai.BadRequestError | anthropic.BadRequestError)
    return refused.value.body


def post(site: Site, path: str, body: Json) -> Json:
    """The answer to a body that the SDK does not write."""
    with site.client() as client:
        answer: Json = client.post(path, json=body).json()
    return answer


# --- how an answer ends ---


@both_ways
def test_a_stop_sequence_is_named(anthropic_client: anthropic.Anthropic, stream: bool) -> None:
    fields: Json = {"model": "local-chat", "max_tokens": 50, "messages": [ENDLESS], "stop_sequences": ["zz", "tock"]}
    client: Any = anthropic_client
    if stream:
        with client.messages.stream(**fields) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**fields)

    assert (message.content[0].text, message.stop_reason, message.stop_sequence) == ("tick ", "stop_sequence", "tock")


def test_an_answer_that_is_cut_says_so(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    chat = openai_client.chat.completions.create(model="local-chat", messages=[ENDLESS], max_tokens=5)
    response = openai_client.responses.create(model="local-chat", input=FOREVER, max_output_tokens=16)
    endless: MessageParam = {"role": "user", "content": FOREVER}
    message = anthropic_client.messages.create(model="local-chat", messages=[endless], max_tokens=5)

    assert (chat.choices[0].finish_reason, chat.choices[0].message.content) == ("length", "tick tock tick tock tick")
    assert (response.status, response.incomplete_details and response.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 5)


# --- several answers ---


@both_ways
def test_each_of_two_choices_is_whole_and_counted(openai_client: openai.OpenAI, stream: bool) -> None:
    client: Any = openai_client
    fields: Json = {"model": "local-chat", "messages": [HELLO], "n": SLOTS, "temperature": 0}
    one = client.chat.completions.create(**{**fields, "n": 1}).usage
    if stream:
        with client.chat.completions.stream(**fields, stream_options={"include_usage": True}) as events:
            events.until_done()
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**fields)

    choices = sorted(answer.choices, key=lambda choice: choice.index)
    assert [(choice.index, choice.message.role, choice.message.content) for choice in choices] == [
        (index, "assistant", ANSWER) for index in range(SLOTS)
    ]
    assert {choice.finish_reason for choice in choices} == {"stop"}
    assert answer.usage.prompt_tokens == one.prompt_tokens
    assert answer.usage.completion_tokens == one.completion_tokens * SLOTS


def test_a_stream_of_two_choices_is_counted_once(openai_client: openai.OpenAI) -> None:
    chunks = openai_client.chat.completions.create(
        model="local-chat", messages=[HELLO], n=SLOTS, stream=True, stream_options={"include_usage": True}
    )
    assert [not chunk.choices for chunk in chunks if chunk.usage] == [True]


def test_more_choices_than_slots_are_refused_by_number(openai_client: openai.OpenAI) -> None:
    body = refuse(lambda: openai_client.chat.completions.create(model="local-chat", messages=[HELLO], n=SLOTS + 1))
    assert (body["code"], body["param"]) == ("unsupported_choices", "n")
    assert str(SLOTS) in body["message"]


# --- completions ---


@both_ways
@pytest.mark.parametrize("prompt", ["\n", [201], ["\n", "\n"], [[201], [201]]], ids=str)
def test_completions_take_texts_and_tokens_one_or_many(openai_client: openai.OpenAI, prompt: Any, stream: bool) -> None:
    client: Any = openai_client
    fields = {"model": "local-chat", "prompt": prompt, "max_tokens": 4, "temperature": 0}
    texts: dict[int, str] = {}
    if stream:
        chunks = list(client.completions.create(**fields, stream=True, stream_options={"include_usage": True}))
        usage = next(chunk.usage for chunk in reversed(chunks) if chunk.usage)
        choices = [choice for chunk in chunks for choice in chunk.choices]
    else:
        answer = client.completions.create(**fields)
        usage, choices = answer.usage, answer.choices
    for choice in choices:
        texts[choice.index] = texts.get(choice.index, "") + choice.text

    many = 2 if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    assert texts == dict.fromkeys(range(many), ANSWER)
    assert usage.completion_tokens == 2 * many


# --- forms ---


def test_a_schema_is_kept(openai_client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": WEATHER}}
    chat = openai_client.chat.completions.create(
        model="local-chat", messages=[HELLO], temperature=0, response_format=form
    )
    text: Any = {"format": {"type": "json_schema", "name": "w", "strict": True, "schema": WEATHER}}
    response = openai_client.responses.create(model="local-chat", input="hello", temperature=0, text=text)

    pattern = r'\{"city": ?"", ?"days": ?0, ?"unit": ?"[cf]"\}'
    assert re.fullmatch(pattern, chat.choices[0].message.content or "")
    assert re.fullmatch(pattern, response.output_text)


def test_an_object_is_an_object(openai_client: openai.OpenAI) -> None:
    chat = openai_client.chat.completions.create(
        model="local-chat", messages=[HELLO], temperature=0, response_format={"type": "json_object"}
    )
    assert chat.choices[0].message.content == "{}"


def test_probabilities_of_tokens(openai_client: openai.OpenAI) -> None:
    chat = openai_client.chat.completions.create(
        model="local-chat", messages=[HELLO], temperature=0, logprobs=True, top_logprobs=2
    )
    found = chat.choices[0].logprobs
    assert found
    assert found.content
    assert (found.content[0].token, found.content[0].logprob) == (ANSWER, 0)
    assert len(found.content[0].top_logprobs) == 2


# --- embeddings ---


def test_vectors_as_base64_are_those_as_numbers(calling_site: Site) -> None:
    body = {"model": "local-embed", "input": ["one", [1, 2]]}
    numbers, texts = (
        [item["embedding"] for item in post(calling_site, "/v1/embeddings", {**body, "encoding_format": form})["data"]]
        for form in ("float", "base64")
    )
    assert [list(struct.unpack(f"<{WIDTH}f", base64.b64decode(text))) for text in texts] == [
        pytest.approx(vector) for vector in numbers
    ]


@pytest.mark.parametrize("form", ["float", "base64"])
def test_dimensions_that_the_model_has_not_are_refused(openai_client: openai.OpenAI, form: Any) -> None:
    body = refuse(
        lambda: openai_client.embeddings.create(model="local-embed", input="x", dimensions=5, encoding_format=form)
    )
    assert (body["code"], body["param"]) == ("unsupported_dimensions", "dimensions")
    openai_client.embeddings.create(model="local-embed", input="x", dimensions=WIDTH, encoding_format=form)


# --- what cannot be ---


def test_pictures_for_a_model_that_sees_none(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic
) -> None:
    url = f"data:image/png;base64,{PICTURE}"
    chat: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    response: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": url, "detail": "auto"}]}]
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    message: Any = [{"role": "user", "content": [{"type": "image", "source": source}]}]

    for body in (
        refuse(lambda: openai_client.chat.completions.create(model="local-chat", messages=chat)),
        refuse(lambda: openai_client.responses.create(model="local-chat", input=response)),
    ):
        assert body["code"] == "unsupported_content"
        assert "projector" in body["message"]
    refused = refuse(lambda: anthropic_client.messages.create(model="local-chat", max_tokens=9, messages=message))
    assert refused["type"] == "error"
    assert refused["error"]["type"] == "invalid_request_error"
    assert "projector" in refused["error"]["message"]


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "wat"}, "tools[0].type"),
        ({"type": "function", "function": {}}, "tools[0].function.name"),
    ],
)
def test_tools_that_are_none(openai_client: openai.OpenAI, tool: Any, param: str) -> None:
    body = refuse(lambda: openai_client.chat.completions.create(model="local-chat", messages=[HELLO], tools=[tool]))
    assert body["param"] == param


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, stream: bool
) -> None:
    message: ChatCompletionUserMessageParam = {"role": "user", "content": LONG}
    client: Any = openai_client
    other: Any = anthropic_client
    errors = [
        refuse(lambda: client.chat.completions.create(model="local-chat", messages=[message], stream=stream)),
        refuse(lambda: client.completions.create(model="local-chat", prompt=LONG, stream=stream)),
        refuse(lambda: client.responses.create(model="local-chat", input=LONG, stream=stream)),
    ]
    for error in errors:
        assert error["code"] == "context_length_exceeded"
        assert re.search(rf"\b2\d{{5}} tokens\b.*\b{CONTEXT}\b.*CONTEXT_LENGTH", error["message"])
    refused = refuse(lambda: other.messages.create(model="local-chat", max_tokens=9, messages=[message], stream=stream))
    assert refused["error"]["type"] == "invalid_request_error"
    assert re.search(rf"\b2\d{{5}} tokens\b.*\b{CONTEXT}\b", refused["error"]["message"])


def test_an_input_that_is_too_long_for_embeddings(openai_client: openai.OpenAI) -> None:
    error = refuse(lambda: openai_client.embeddings.create(model="local-embed", input="word " * EMBEDDING_CONTEXT))
    assert error["code"] == "context_length_exceeded"
    assert re.search(rf"\b\d+ tokens\b.*\b{EMBEDDING_CONTEXT}\b", error["message"])
