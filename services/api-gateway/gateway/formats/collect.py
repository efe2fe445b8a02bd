"""Put a streamed answer together again, for a client that wants it whole. Pure.

In: parsed chunks of OpenAI's chat or text completions. Out: the object that the server would have answered with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of a chunk; everything else of it, such as llama.cpp's timings, is taken over as it came last.
_NOT_COPIED = frozenset({"choices", "object", "model"})
# Why a choice ended; the second is vLLM's, and names the stop sequence.
_ENDS = ("finish_reason", "stop_reason")
# Where a tool call stood among the others, while they are collected.
_PLACE = " place"
# Texts that arrive whole in each piece that has them, not in parts.
_REPEATED = frozenset({"role", "type", "id", "object"})


class ChatCollector:
    """Collects the chunks of a chat completion."""

    object_name = "chat.completion"

    def __init__(self, model: str) -> None:
        self._answer: dict[str, Any] = {"model": model, "object": self.object_name}
        self._choices: dict[int, dict[str, Any]] = {}

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Add one chunk."""
        for name, value in chunk.items():
            if name not in _NOT_COPIED and value is not None:
                self._answer[name] = value
        for piece in chunk.get("choices") or ():
            index = piece.get("index") or 0
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = self._begin(index)
            self._add(choice, piece)

    def _begin(self, index: int) -> dict[str, Any]:
        return {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}

    def _add(self, choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
        _merge(choice["message"], piece.get("delta") or {})
        _take_ends(choice, piece)

    def build(self) -> dict[str, Any]:
        """The whole answer."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            for call in choice.get("message", {}).get("tool_calls") or ():
                call.pop(_PLACE, None)
        return {**self._answer, "choices": choices}


class TextCollector(ChatCollector):
    """Collects the chunks of a text completion."""

    object_name = "text_completion"

    def _begin(self, index: int) -> dict[str, Any]:
        return {"index": index, "text": "", "finish_reason": None, "logprobs": None}

    def _add(self, choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
        choice["text"] += piece.get("text") or ""
        _take_ends(choice, piece)


def _take_ends(choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name in _ENDS:
        if piece.get(name) is not None:
            choice[name] = piece[name]
    if isinstance(piece.get("logprobs"), dict):
        if not isinstance(choice.get("logprobs"), dict):
            choice["logprobs"] = {}
        _merge(choice["logprobs"], piece["logprobs"])


def _merge(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add a delta: texts and lists grow, parts of lists with an ``index`` are found by it, the rest is replaced."""
    for name, value in delta.items():
        old = whole.get(name)
        if value is None:
            whole.setdefault(name, None)
        elif isinstance(value, str) and isinstance(old, str) and name not in _REPEATED:
            whole[name] = old + value
        elif isinstance(value, dict) and isinstance(old, dict):
            _merge(old, value)
        elif isinstance(value, list):
            whole[name] = _merge_list(old if isinstance(old, list) else [], value)
        else:
            whole[name] = value


def _merge_list(whole: list[Any], pieces: list[Any]) -> list[Any]:
    for piece in pieces:
        if not (isinstance(piece, dict) and isinstance(piece.get("index"), int)):
            whole.append(piece)
            continue
        found = next((item for item in reversed(whole) if item.get(_PLACE) == piece["index"]), None)
        # Some servers give every call of an answer the same index, and each an id of its own.
        is_another = found is not None and piece.get("id") and found.get("id") not in (None, piece["id"])
        if found is None or is_another:
            found = {_PLACE: piece["index"]}
            whole.append(found)
        _merge(found, {name: value for name, value in piece.items() if name != "index"})
    return whole
