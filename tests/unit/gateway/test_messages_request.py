"""Requests of Anthropic's Messages as chat completions: each rule, and refusals that name the field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from gateway.errors import ApiError, RefusedError
from gateway.formats.messages import build_count_body, translate
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]

WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object", "properties": {}}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Seoul"}}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
PIXEL_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def convert(content: Any = "hi", **fields: Any) -> Json:
    """The chat completion for a request with one user's message, or with ``messages``."""
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": content}], **fields}
    return translate(body)[0]


def converse(*turns: tuple[str, Any], **fields: Any) -> list[Json]:
    """The chat messages for a conversation."""
    messages = convert(messages=[{"role": role, "content": content} for role, content in turns], **fields)["messages"]
    assert isinstance(messages, list)
    return messages


def refusal(**fields: Any) -> str | None:
    """The field that a request is refused for; its name stands in the text too."""
    with pytest.raises(RefusedError) as caught:
        convert(**fields)
    error = caught.value.error
    assert error.status == 400
    assert error.param is not None
    assert error.message.startswith(error.param)
    return error.param


def test_a_plain_request_keeps_its_fields() -> None:
    assert convert(temperature=0.5, top_p=0.9, top_k=3, min_p=0.1, stream=True) == {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.1,
    }


def test_the_request_itself_is_not_changed() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [PIXEL]}], "tools": [WEATHER]}
    before = orjson.dumps(body)
    translate(body)
    assert orjson.dumps(body) == before


def test_what_concerns_accounts_and_caches_goes_nowhere() -> None:
    fields: Json = {
        "metadata": {"user_id": "somebody"},
        "service_tier": "auto",
        "cache_control": {"type": "ephemeral"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "container": None,
        "mcp_servers": [],
    }
    assert convert(**fields) == convert()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits.0.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [5]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"content": [{"text": "x"}]}, "messages.0.content.0"),
        ({"content": [{"type": "text"}]}, "messages.0.content.0.text"),
        ({"system": 5}, "system"),
        ({"system": [PIXEL]}, "system.0.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "loud"}}, "thinking.type"),
        ({"thinking": "on"}, "thinking.type"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ],
)
def test_refusals_name_the_field(fields: Json, param: str) -> None:
    assert refusal(**fields) == param


def test_system_prompt_of_text_or_blocks_is_one_message() -> None:
    blocks = [
        {"type": "text", "text": "One.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Two."},
    ]
    assert converse(("user", "hi"), system="One.\nTwo.")[0] == {"role": "system", "content": "One.\nTwo."}
    assert converse(("user", "hi"), system=blocks)[0] == {"role": "system", "content": "One.\nTwo."}


def test_the_line_that_changes_with_each_request_is_left_out_of_the_system_prompt() -> None:
    line = "x-anthropic-billing-header: cc_version=2.1; cch=a1b2c;"
    assert converse(("user", "hi"), system=[{"type": "text", "text": line}, {"type": "text", "text": "Be good."}])[
        0
    ] == {"role": "system", "content": "Be good."}
    assert converse(("user", "hi"), system=f"{line}\nBe good.")[0]["content"] == "Be good."


def test_system_messages_are_system_at_the_start_and_tagged_text_later() -> None:
    first = converse(("system", "B"), ("user", "hi"), system="A")
    assert first == [{"role": "system", "content": "A\nB"}, {"role": "user", "content": "hi"}]
    later = converse(("user", "hi"), ("system", "Be short."), ("user", "go"))
    assert later == [{"role": "user", "content": "hi\n<system>\nBe short.\n</system>\ngo"}]


def test_turns_of_one_role_are_one_turn() -> None:
    turns = converse(("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"))
    assert turns == [{"role": "user", "content": "a\nb"}, {"role": "assistant", "content": "c\nd"}]


def test_images_and_texts_keep_their_order() -> None:
    linked = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    content = [{"type": "text", "text": "before"}, PIXEL, {"type": "text", "text": "between"}, linked]
    assert convert(content)["messages"][0]["content"] == [
        {"type": "text", "text": "before"},
        PIXEL_PART,
        {"type": "text", "text": "between"},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
    ]


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "image"}, "source"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "source.type"),
        ({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}, "source.url"),
        ({"type": "image", "source": {"type": "base64", "media_type": "text/html", "data": ""}}, "source.media_type"),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}, "source.data"),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf"}}, "source.type"),
        ({"type": "document", "source": {"type": "url", "url": "https://x.test"}}, "source.type"),
        ({"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}}, "citations"),
        ({"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}, "type"),
        ({"type": "web_search_tool_result", "tool_use_id": "x", "content": []}, "type"),
        ({"type": "container_upload", "file_id": "x"}, "type"),
        ({"type": "tool_result", "content": "x"}, "tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "x", "content": [{"type": "browser_state"}]}, "content.0.type"),
    ],
)
def test_blocks_that_no_chat_completion_has_are_refused(block: Json, field: str) -> None:
    assert refusal(content=[{"type": "text", "text": "x"}, block]) == f"messages.0.content.1.{field}"


def test_blocks_of_servers_are_refused_in_the_assistants_turn_too() -> None:
    block = {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [block]}]
    assert refusal(messages=messages) == "messages.1.content.0.type"


def test_documents_of_text_are_written_out() -> None:
    document = {
        "type": "document",
        "title": "Plan",
        "source": {"type": "text", "media_type": "text/plain", "data": "D"},
    }
    found = {
        "type": "search_result",
        "title": "T",
        "source": "s.test",
        "content": [{"type": "text", "text": "F"}],
    }
    assert converse(("user", [document, found, {"type": "text", "text": "why?"}]))[0]["content"] == (
        "<document>\ntitle: Plan\nD\n</document>\n<search_result>\ntitle: T\nsource: s.test\nF\n</search_result>\nwhy?"
    )
    mixed = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "D"}, PIXEL]}}
    parts = converse(("user", [mixed]))[0]["content"]
    assert [part["type"] for part in parts] == ["text", "text", "image_url", "text"]


def test_calls_and_results_of_tools_in_parallel() -> None:
    second = {**CALL, "id": "toolu_2", "input": {}}
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "rain"}]},
        {"type": "text", "text": "Go on."},
    ]
    assert converse(
        ("user", "weather?"), ("assistant", [{"type": "text", "text": "Let me see."}, CALL, second]), ("user", results)
    ) == [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "toolu_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Seoul"}'},
                },
                {"id": "toolu_2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "rain"},
        {"role": "user", "content": "Go on."},
    ]


def test_a_turn_of_calls_alone_has_no_text() -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1"}
    assert converse(("user", "x"), ("assistant", [CALL]), ("user", [result]))[1]["content"] is None


def test_a_call_without_its_result_is_refused_and_an_answer_that_has_begun_is_continued() -> None:
    begun = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [CALL]}]
    assert refusal(messages=begun) == "messages"
    assert converse(("user", "x"), ("assistant", "So"))[-1] == {"role": "assistant", "content": "So"}


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({}, ""),
        ({"content": None}, ""),
        ({"content": "no such file", "is_error": True}, "Error: no such file"),
        ({"content": "error 5", "is_error": True}, "error 5"),
        ({"is_error": True}, "Error"),
        ({"content": "fine", "is_error": False}, "fine"),
        ({"content": [{"type": "tool_reference", "tool_name": "weather"}]}, "Tool weather can be called now."),
    ],
)
def test_the_text_of_a_result(result: Json, text: str) -> None:
    message = converse(("user", [{"type": "tool_result", "tool_use_id": "t", **result}]))
    assert message == [{"role": "tool", "tool_call_id": "t", "content": text}]


def test_images_of_results_follow_in_the_users_message_by_name() -> None:
    def result(name: str, *content: Json) -> Json:
        return {"type": "tool_result", "tool_use_id": name, "content": list(content)}

    text = {"type": "text", "text": "a plot"}
    turn = [result("t1", text, PIXEL), result("t2", PIXEL), {"type": "text", "text": "Which is best?"}]
    assert converse(("user", turn)) == [
        {"role": "tool", "tool_call_id": "t1", "content": "a plot\n[image 1]"},
        {"role": "tool", "tool_call_id": "t2", "content": "[image 2]"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[image 1]"},
                PIXEL_PART,
                {"type": "text", "text": "[image 2]"},
                PIXEL_PART,
                {"type": "text", "text": "Which is best?"},
            ],
        },
    ]


def test_thoughts_of_earlier_turns_are_kept_unless_thinking_is_disabled() -> None:
    turn = [
        {"type": "thinking", "thinking": "Hmm.", "signature": ""},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Yes."},
    ]
    kept = converse(("user", "x"), ("assistant", turn))[1]
    assert kept == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hmm."}
    dropped = converse(("user", "x"), ("assistant", turn), thinking={"type": "disabled"})[1]
    assert dropped == {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"chat_template_kwargs": {"enable_thinking": True}, "thinking_budget_tokens": 2000},
        ),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "high"}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        (
            {"output_config": {"effort": "low"}, "thinking": {"type": "disabled"}},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
    ],
)
def test_thinking_is_said_in_the_engines_words(fields: Json, expected: Json) -> None:
    chat = convert(**fields)
    assert {name: chat[name] for name in chat.keys() - convert().keys()} == expected


def test_tools_become_functions() -> None:
    tool = {**WEATHER, "type": "custom", "cache_control": {"type": "ephemeral"}, "eager_input_streaming": True}
    function = {"name": "weather", "description": "Tells it.", "parameters": WEATHER["input_schema"]}
    assert convert(tools=[tool])["tools"] == [{"type": "function", "function": function}]
    strict = convert(tools=[{**WEATHER, "strict": True, "input_examples": [{"city": "Seoul"}]}])["tools"][0]["function"]
    assert strict["strict"] is True
    assert strict["description"] == 'Tells it.\nExample: {"city":"Seoul"}'


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, ".type"),
        ({"type": "computer_20250124", "name": "computer"}, ".type"),
        ({"type": "bash_20250124", "name": "bash"}, ".type"),
        ({"type": ["custom"], "name": "x", "input_schema": {}}, ".type"),
        ({"name": "x"}, ".input_schema"),
        ({"input_schema": {}}, ".name"),
        ({**WEATHER, "allowed_callers": ["code_execution_20250825"]}, ".allowed_callers"),
        ({**WEATHER, "description": 5}, ".description"),
        (5, ""),
    ],
)
def test_tools_that_the_client_does_not_describe_are_refused(tool: Any, field: str) -> None:
    assert refusal(tools=[WEATHER, tool]) == f"tools.1{field}"


def test_deferred_tools_are_told_once_a_result_refers_to_them() -> None:
    deferred = {**WEATHER, "name": "maps", "defer_loading": True}
    assert [tool["function"]["name"] for tool in convert(tools=[WEATHER, deferred])["tools"]] == ["weather"]
    reference = {"type": "tool_reference", "tool_name": "maps"}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [reference]}
    assert [tool["function"]["name"] for tool in convert([result], tools=[WEATHER, deferred])["tools"]] == [
        "weather",
        "maps",
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "weather"}, {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
    ],
)
def test_tool_choices(choice: Json, expected: Json) -> None:
    chat = convert(tools=[WEATHER], tool_choice=choice)
    assert {name: chat[name] for name in chat.keys() - convert(tools=[WEATHER]).keys()} == expected


def test_tool_choices_without_their_tools() -> None:
    assert convert(tool_choice={"type": "auto", "disable_parallel_tool_use": True}) == convert()
    assert refusal(tool_choice={"type": "any"}) == "tool_choice.type"
    assert refusal(tools=[WEATHER], tool_choice={"type": "tool", "name": "maps"}) == "tool_choice.name"
    assert refusal(tools=[WEATHER], tool_choice={"type": "tool"}) == "tool_choice.name"
    assert refusal(tools=[WEATHER], tool_choice={"type": "sometimes"}) == "tool_choice.type"
    assert refusal(tools=[WEATHER], tool_choice="auto") == "tool_choice"


def test_stop_sequences_are_asked_back() -> None:
    chat = convert(stop_sequences=["END", "\n\n"])
    assert chat["stop"] == ["END", "\n\n"]
    assert chat["verbose"] is True
    assert chat["response_fields"] == ["stopping_word"]
    assert convert(stop_sequences=[]) == convert()


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_of_the_answer(name: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    given_ = {"type": "json_schema", "schema": schema}
    chat = convert(**{name: {"format": given_} if name == "output_config" else given_})
    assert chat["response_format"]["json_schema"]["schema"] == schema


def test_counting_asks_for_the_same_prompt_and_nothing_else() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [WEATHER],
        "system": "Be good.",
        "thinking": {"type": "disabled"},
        "stop_sequences": ["x"],
    }
    chat = build_count_body(body)
    assert chat == {
        name: value for name, value in translate(body)[0].items() if name not in ("stop", "verbose", "response_fields")
    }
    assert chat.keys() == {"model", "messages", "tools", "chat_template_kwargs"}


def test_input_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{**CALL, "input": deep}]}]
    assert refusal(messages=messages) == "messages.1.content.0.input"


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
_KINDS = st.sampled_from(["text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "x"])
_BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        "type": _KINDS | _VALUES,
        "text": st.text(max_size=5) | _VALUES,
        "source": st.fixed_dictionaries({"type": st.sampled_from(["base64", "url", "text", "content"])}) | _VALUES,
        "content": _VALUES,
        "tool_use_id": _VALUES,
        "input": _VALUES,
        "name": _VALUES,
        "id": _VALUES,
        "thinking": _VALUES,
    },
)
_MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.lists(_BLOCKS, max_size=3) | _VALUES}
)
_BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(_MESSAGES, max_size=3) | _VALUES},
    optional={
        name: _VALUES | st.fixed_dictionaries({"type": st.sampled_from(["enabled", "disabled", "tool", "any"])})
        for name in (
            "system", "thinking", "tool_choice", "output_config", "output_format", "stop_sequences", "max_tokens",
            "context_management", "metadata",
        )
    }
    | {"tools": st.lists(_VALUES | st.fixed_dictionaries({"name": _VALUES, "input_schema": _VALUES}), max_size=2)},
)  # fmt: skip


@given(_BODIES)
def test_no_body_breaks_the_conversion(body: Json) -> None:
    error, chat = _try(body)
    if error is None:
        assert chat["messages"]
    else:
        assert error.status == 400
        assert error.param


def _try(body: Json) -> tuple[ApiError | None, Json]:
    try:
        return None, translate(body)[0]
    except RefusedError as refused:
        return refused.error, {}
