"""What holds of every request in Anthropic's format."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from gateway.errors import ApiError, RefusedError
from gateway.formats.messages import translate
from hypothesis import given
from hypothesis import strategies as st

from tests.anthropic_events import Json
from tests.unit.gateway.messages.requests import CALL, PIXEL, convert

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


_TEXT = st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=3))
_RESULT = st.builds(
    lambda text: {"type": "tool_result", "tool_use_id": "toolu_1", "content": text}, st.text(max_size=3)
)
_SAID = st.lists(st.one_of(_TEXT, _RESULT, st.just(PIXEL)), max_size=3)
_ANSWERED = st.lists(st.one_of(_TEXT, st.just(CALL), st.just({"type": "thinking", "thinking": "t"})), max_size=3)
_EXCHANGES = st.lists(st.tuples(_SAID, st.none() | st.text(max_size=3), _ANSWERED), min_size=1, max_size=4)


@given(_EXCHANGES)
def test_what_was_said_stays_the_same_as_a_conversation_grows(exchanges: list[tuple[Any, str | None, Any]]) -> None:
    """An engine computes only what is new of a prompt that begins like the last one."""
    messages: list[Json] = []
    said: list[list[Json]] = []
    for user, system, assistant in exchanges:
        messages.append({"role": "user", "content": user})
        if system is not None:
            messages.append({"role": "system", "content": system})
        said.append(convert(messages=list(messages))["messages"])
        messages.append({"role": "assistant", "content": assistant})
    for earlier, later in pairwise(said):
        assert later[: len(earlier)] == earlier
