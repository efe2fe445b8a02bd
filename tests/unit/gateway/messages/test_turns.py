"""Conversations in Anthropic's format as chat messages."""

from __future__ import annotations

import pytest

from tests.anthropic_events import Json
from tests.unit.gateway.messages.requests import CALL, PIXEL, PIXEL_PART, converse, convert, refusal


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
