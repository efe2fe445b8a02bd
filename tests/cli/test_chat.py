"""What a question at the terminal shows: the answer, its speed, or why there is none."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

from stackctl.core.health.chat_events import list_pieces
from stackctl.core.settings.dotenv import set_values
from stackctl.core.stack.runtime import ChatPiece
from tests.cli.conftest import Command


def test_chat_without_a_gateway_names_the_next_step(stackctl: Command, site: Path) -> None:
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"API_GATEWAY_PORT": "1"}))
    done = stackctl("chat", "ping")
    assert (done.code, done.out) == (5, "")
    assert "Nothing answers at http://127.0.0.1:1/" in done.err
    assert "run 'stackctl up'" in done.err


def test_the_tokens_that_a_model_thinks_take_time_and_are_not_shown(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deltas = [
        {"role": "assistant", "content": ""},
        *[{"reasoning_content": "hm"}] * 8,
        {"content": "po"},
        {"content": "ng"},
    ]
    events: list[dict[str, object]] = [{"choices": [{"delta": delta}]} for delta in deltas]
    events.append({"choices": [], "usage": {"completion_tokens": 10}})
    clock = itertools.count(1.0)
    monkeypatch.setattr(
        "stackctl.operations.look.chat.ask", lambda *_, **__: itertools.chain(*map(list_pieces, events))
    )
    monkeypatch.setattr("stackctl.cli.look.chat.time", SimpleNamespace(monotonic=lambda: next(clock)))
    done = stackctl("chat", "ping")
    assert (done.code, done.out) == (0, "pong\n")
    assert "[10 tokens, 1 tokens/s]" in done.err


def test_a_few_tokens_that_came_at_once_tell_no_speed(stackctl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [ChatPiece("po"), ChatPiece("ng"), ChatPiece("", 3)]
    monkeypatch.setattr("stackctl.operations.look.chat.ask", lambda *_, **__: iter(pieces))
    assert stackctl("chat", "ping").err == "[3 tokens]\n"
