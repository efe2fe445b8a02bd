"""What the stand-in provider sends, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackctl.core.drill.answers import CANARY
from stackctl.core.drill.behaviour import Behaviour, Close, Pause, Send, StandInRequest
from stackctl.core.drill.faults import FAULTS, OK, find_behaviour
from stackctl.core.drill.replies import build_reply


def ask(path: str, **fields: Any) -> StandInRequest:
    return StandInRequest("POST", path, {}, json.dumps({"model": "ok", **fields}).encode())


def send(request: StandInRequest, behaviour: Behaviour = OK) -> bytes:
    return b"".join(step.data for step in build_reply(request, behaviour) if isinstance(step, Send))


def read_events(reply: bytes) -> list[str]:
    lines = reply.decode().splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_a_stream_of_chat_ends_with_usage_and_its_terminal_event(prefix: str) -> None:
    request = ask(f"{prefix}/chat/completions", stream=True, stream_options={"include_usage": True})
    *chunks, terminal = read_events(send(request))
    parsed = [json.loads(chunk) for chunk in chunks]
    contents = [c["choices"][0]["delta"].get("content") for c in parsed if c["choices"]]
    assert "".join(filter(None, contents)) == "one two three four"
    assert parsed[-2]["choices"][0]["finish_reason"] == "stop"
    assert parsed[-1]["choices"] == []
    assert parsed[-1]["usage"]["completion_tokens"] == 4
    assert terminal == "[DONE]"


def test_a_stream_of_messages_has_its_events_in_anthropics_order() -> None:
    events = [json.loads(event)["type"] for event in read_events(send(ask("/v1/messages", stream=True)))]
    deltas = ["content_block_delta"] * 4
    assert events == [
        "message_start",
        "content_block_start",
        *deltas,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("/v1/chat/completions", {}, "one two three four"),
        ("/v1/completions", {"prompt": "x"}, "one two three four"),
        ("/v1/messages", {}, "one two three four"),
        ("/v1/embeddings", {"input": ["a", "b"]}, '"index": 1'),
        ("/v1/rerank", {"documents": ["a", "b", "c"]}, '"index": 2'),
        ("/v1/models", {}, CANARY),
    ],
)
def test_whole_answers_are_json_of_their_length(path: str, fields: dict[str, Any], expected: str) -> None:
    head, _, body = send(ask(path, **fields)).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}" in head.decode()
    assert expected in json.dumps(json.loads(body))


def test_each_server_refuses_in_its_own_form() -> None:
    request = ask("/v1/chat/completions")
    bodies = {
        style: json.loads(send(request, FAULTS[f"429-{style}"]).partition(b"\r\n\r\n")[2])
        for style in ("openai", "anthropic", "llama")
    }
    assert bodies["openai"]["error"]["code"] == "rate_limit_exceeded"
    assert bodies["anthropic"]["type"] == "error"
    assert bodies["anthropic"]["error"]["type"] == "rate_limit_error"
    assert bodies["llama"]["error"]["code"] == 429
    overflow = json.loads(send(request, FAULTS["overflow-llama"]).partition(b"\r\n\r\n")[2])["error"]
    assert (overflow["n_prompt_tokens"], overflow["n_ctx"]) == (5012, 4096)


def test_a_path_that_no_provider_has_is_not_found() -> None:
    assert send(ask("/v1/engines")).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/completions"])
def test_a_broken_stream_never_has_a_terminal_event_and_says_so_where_it_breaks(path: str) -> None:
    request = ask(path, stream=True)
    for name in ("cut-after", "reset-after", "unfinished-after", "error-after", "cut-before", "unfinished-before"):
        sent = send(request, FAULTS[name])
        assert b"[DONE]" not in sent, name
        assert b"message_stop" not in sent, name
        assert (b"one" in sent) == name.endswith("after"), name
        assert sent.endswith(b"0\r\n\r\n") == name.startswith(("unfinished", "error")), name
    steps = list(build_reply(request, FAULTS["reset-after"]))
    assert steps[-1] == Close(resets=True)


def test_what_hangs_waits_for_ever_where_it_is_told() -> None:
    request = ask("/v1/chat/completions", stream=True)
    for name, sent in (("hang", 0), ("hang-first-token", 1), ("hang-between-tokens", 3)):
        steps = []
        for step in build_reply(request, FAULTS[name]):
            steps.append(step)
            if isinstance(step, Pause):
                break
        assert len(steps) == sent + 1, name
        assert steps[-1] == Pause(float("inf")), name


def test_a_models_name_says_how_it_is_served() -> None:
    assert find_behaviour("html@one") is FAULTS["html"]
    assert find_behaviour("gpt-4o") is OK
