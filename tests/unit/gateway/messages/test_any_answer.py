"""What holds of every streamed answer in Anthropic's format, in whatever order its pieces come."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.anthropic_events import Json, call_delta, delta, read_blocks, usage_chunk
from tests.unit.gateway.messages.answers import progress, run

_TEXTS = st.text(min_size=1, max_size=4)
_PIECES = st.one_of(
    st.builds(lambda text: ("text", delta(content=text), text), _TEXTS),
    st.builds(lambda text: ("thinking", delta(reasoning_content=text), text), _TEXTS),
    st.builds(
        lambda index, text: (f"call{index}", call_delta(index, text, name=f"tool{index}"), text),
        st.integers(0, 3),
        st.sampled_from(['{"a"', ":1", "}", "{}", "", "x"]),
    ),
    st.sampled_from([("", usage_chunk(1, 1), ""), ("", delta(), ""), ("", progress(5, 1, 3), "")]),
)


@given(st.lists(_PIECES, max_size=12))
def test_any_order_of_pieces_is_a_well_formed_stream(pieces: list[tuple[str, Json, str]]) -> None:
    events = run(*[chunk for _, chunk, _ in pieces], delta("stop"))
    assert events[0]["type"] == "message_start"
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    blocks = read_blocks(events)
    for kind in ("text", "thinking"):
        sent = "".join(text for name, _, text in pieces if name == kind)
        assert "".join(block[kind] for block in blocks if block["type"] == kind) == sent
    for name in {name for name, *_ in pieces if name.startswith("call")}:
        (block,) = (block for block in blocks if block.get("name") == name.replace("call", "tool"))
        sent = "".join(text for key, _, text in pieces if key == name)
        # Once a call's arguments are a whole JSON value, another block may have begun, and nothing can follow.
        assert sent.startswith(block["json"])
        assert block["json"] == sent or _is_json(block["json"])


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
