"""What a chat server is asked for a request in the Responses format, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway.errors import RefusedError
from gateway.formats.responses import translate

READ: dict[str, Any] = {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": True}
CHAT_READ = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}, "strict": True}}


def convert(value: Any = "Hello", **fields: Any) -> dict[str, Any]:
    return translate({"model": "local-chat", "input": value} | fields)[0]


def ask(role: str, text: str, kind: str = "input_text") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def call_item(name: str, call_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "name": name, "call_id": call_id, "arguments": "{}"} | fields


def chat_call(name: str, call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def output_item(call_id: str, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def test_a_text_is_the_users_message() -> None:
    assert convert() == {"model": "local-chat", "messages": [{"role": "user", "content": "Hello"}]}


def test_what_stands_before_the_first_turn_is_one_system_message() -> None:
    messages = convert([ask("developer", "B"), ask("system", "C"), ask("user", "D")], instructions="A")["messages"]
    assert messages == [{"role": "system", "content": "A\n\nB\n\nC"}, {"role": "user", "content": "D"}]


def test_the_items_of_a_turn_are_one_message() -> None:
    items = [
        {"role": "user", "content": "Go"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
        ask("assistant", "Both.", "output_text"),
        call_item("read", "c1"),
        call_item("close", "c2", namespace="agents"),
        output_item("c1", "one"),
        output_item("c2", [{"type": "input_text", "text": "two"}]),
        ask("assistant", "Done.", "output_text"),
    ]
    assert convert(items)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Both.",
            "reasoning_content": "Hm",
            "tool_calls": [chat_call("read", "c1"), chat_call("agents__close", "c2")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "assistant", "content": "Done."},
    ]


def test_a_system_in_the_midst_speaks_in_the_users_turn() -> None:
    items = [
        ask("user", "A"),
        ask("user", "B"),
        ask("assistant", "C", "output_text"),
        ask("developer", "D"),
        ask("user", "E"),
    ]
    assert convert(items)["messages"] == [
        {"role": "user", "content": "A\n\nB"},
        {"role": "assistant", "content": "C"},
        {"role": "user", "content": "<system>\nD\n</system>\n\nE"},
    ]


def test_a_thought_that_is_only_referred_to_is_left_out() -> None:
    items = [{"role": "user", "content": "Go"}, {"type": "item_reference", "id": "rs_1"}]
    assert convert(items)["messages"] == [{"role": "user", "content": "Go"}]


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    tool = {
        "type": "custom",
        "name": "patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"},
    }
    items = [
        {"type": "custom_tool_call", "name": "patch", "call_id": "c1", "input": 'say "ü"'},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
    ]
    chat = convert(items, tools=[tool], tool_choice={"type": "custom", "name": "patch"})
    assert chat["messages"][0]["tool_calls"] == [
        chat_call("patch", "c1", json.dumps({"input": 'say "ü"'}, ensure_ascii=False))
    ]
    function = chat["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert "lark" in function["description"]
    assert "start: A" in function["description"]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "patch"}}


def test_an_image_and_a_sound_are_parts() -> None:
    content = [
        {"type": "input_text", "text": "What?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    assert convert([{"role": "user", "content": content}])["messages"][0]["content"] == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]


def test_tools_keep_their_schema() -> None:
    assert convert(tools=[READ], parallel_tool_calls=False) == {
        "model": "local-chat",
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [CHAT_READ],
        "parallel_tool_calls": False,
    }


def test_the_web_search_that_codex_offers_is_left_out() -> None:
    assert convert(tools=[READ, {"type": "web_search", "external_web_access": True}])["tools"] == [CHAT_READ]
    assert "tools" not in convert(
        tools=[{"type": "web_search", "external_web_access": False}], parallel_tool_calls=True
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "read"}, {"type": "function", "function": {"name": "read"}}),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "read"}]}, "required"),
    ],
)
def test_a_choice_of_tools(choice: Any, expected: Any) -> None:
    chat = convert(tools=[READ], tool_choice=choice)
    assert (chat["tools"], chat["tool_choice"]) == ([CHAT_READ], expected)


def test_only_allowed_tools_are_shown() -> None:
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "read"}]}
    assert convert(tools=[READ, READ | {"name": "write"}], tool_choice=allowed)["tools"] == [CHAT_READ]


def test_fields_that_chat_completions_names_otherwise() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    chat = convert(
        text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=7,
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        top_logprobs=2,
    )
    del chat["messages"]
    assert chat == {
        "model": "local-chat",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "max_tokens": 7,
        "logprobs": True,
        "top_logprobs": 2,
    }


def test_a_provider_hears_who_asks_and_of_its_cache() -> None:
    chat = convert(user="u", safety_identifier="s", prompt_cache_key="k")
    assert (chat["user"], chat["safety_identifier"], chat["prompt_cache_key"]) == ("u", "s", "k")


def test_what_has_no_effect_is_left_out_and_sampling_stays() -> None:
    idle: dict[str, Any] = {
        "store": True,
        "stream": True,
        "metadata": {"a": "b"},
        "truncation": "auto",
        "client_metadata": {},
        "previous_response_id": None,
        "conversation": None,
        "background": False,
        "text": {"format": {"type": "text"}},
    }
    assert set(convert(temperature=0.5, top_k=3, seed=1, **idle)) == {
        "model",
        "messages",
        "temperature",
        "top_k",
        "seed",
    }


HOSTED = [
    "file_search",
    "computer_use_preview",
    "mcp",
    "code_interpreter",
    "image_generation",
    "local_shell",
    "web_search",
]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        *(({"tools": [READ, {"type": kind}]}, "tools[1].type") for kind in HOSTED),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [READ, READ]}, "tools[1]"),
        ({"tools": "read"}, "tools"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]}, "tools[0].tools[0].type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [READ], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [READ], "tool_choice": {"type": "function", "name": "write"}}, "tool_choice.name"),
        ({"tools": [READ], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": "plain"}, "text"),
        ({"reasoning": "low"}, "reasoning"),
        ({"instructions": ["a"]}, "instructions"),
        ({"include": "a"}, "include"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a"]}, "input[0]"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id"),
        ({"input": [{"type": "mcp_call", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": ["message"]}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [5]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [output_item("c1", "lost")]}, "input[0].call_id"),
        ({"input": [call_item("", "c1")]}, "input[0].name"),
        ({"input": [call_item("read", "c1", arguments={})]}, "input[0].arguments"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusedError) as refused:
        convert(**({"value": fields.pop("input")} if "input" in fields else {}), **fields)
    error = refused.value.error
    assert (error.status, error.param) == (400, param)
    assert error.message.endswith(".")
