"""What an engine cannot do is refused by field before it is asked, and what it ignores is said in its own words."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.catalog.values import Provider, Target
from gateway.errors import RefusedError
from gateway.formats.call import Call
from gateway.formats.chat import honour_for_engine
from gateway.lanes.abilities import check_abilities, find_warning

TOOL = {"type": "function", "function": {"name": "clock"}}
OTHER = {"type": "function", "function": {"name": "weather"}}
PICTURE = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]}


def allow(mode: str, *tools: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


def check(fields: dict[str, Any], kind: str = "engine", **abilities: bool) -> None:
    target = Target("t", Provider("p", kind, slots=2), "m", "chat", "http://127.0.0.1", **abilities)  # type: ignore[arg-type]
    check_abilities(fields, target, Call("chat", fields, "asked", "req"))


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        (PICTURE, "unsupported_content", "messages"),
        ({"n": 3}, "unsupported_choices", "n"),
        ({"tools": [TOOL, {"type": "retrieval"}]}, "unsupported_tools", "tools[1].type"),
        ({"tools": "clock"}, "unsupported_tools", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "invalid_tools", "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "invalid_tools", "tools[0].function.name"),
        ({"tools": [TOOL], "tool_choice": "required"}, "unsupported_tools", "tool_choice"),
        ({"tools": [TOOL], "tool_choice": allow("required", TOOL)}, "unsupported_tools", "tool_choice"),
        ({"tools": [TOOL], "tool_choice": allow("auto", TOOL, OTHER)}, "unsupported_tools", "tool_choice"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_by_field(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check(fields, images=False, tools=False)
    error = refused.value.error
    assert (error.status, error.code, error.param) == (400, code, param)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": allow("auto", TOOL)},
        {"tools": []},
        {"tools": None},
    ],
)
def test_what_it_can_do_passes(fields: dict[str, Any]) -> None:
    check(fields, images=False, tools=False)


def test_what_a_provider_can_do_is_left_to_it() -> None:
    check({"n": 9, "tools": [{"type": "custom"}]}, kind="openai")


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"tools": [TOOL, OTHER], "tool_choice": OTHER}, {"tools": [OTHER], "tool_choice": "required"}),
        (
            {"tools": [TOOL, OTHER], "tool_choice": allow("required", OTHER)},
            {"tools": [OTHER], "tool_choice": "required"},
        ),
        ({"tools": [TOOL, OTHER], "tool_choice": allow("auto", TOOL)}, {"tools": [TOOL], "tool_choice": "auto"}),
        ({"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False}, {}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": "auto"}),
    ],
)
def test_what_an_engine_ignores_is_said_in_its_words(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    body = dict(fields)
    honour_for_engine(body)
    assert body == sent


def test_tools_for_a_template_without_are_warned_of() -> None:
    target = Target("t", Provider("p", "engine"), "m", "chat", "http://127.0.0.1", tools=False)
    assert find_warning(Call("chat", {"tools": [TOOL]}, "asked", "req"), target)
    assert not find_warning(Call("chat", {}, "asked", "req"), target)


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({}, 1),
        ({"n": 2}, 2),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [[1], [2]]}, 2),
    ],
)
def test_each_answer_takes_a_slot(fields: dict[str, Any], answers: int) -> None:
    assert Call("completions", fields, "asked", "req").answers == answers


def test_a_choice_of_a_tool_that_is_not_there_is_refused() -> None:
    check({"tools": [TOOL], "tool_choice": TOOL})
    for tools in ([TOOL], []):
        with pytest.raises(RefusedError) as caught:
            check({"tools": tools, "tool_choice": OTHER})
        assert (caught.value.error.status, caught.value.error.param) == (400, "tool_choice")
