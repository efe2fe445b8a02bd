"""Read llama.cpp's stream of several answers to one request: of ``n`` choices, or of several prompts. Pure.

Its server counts each answer by itself and says so in a chunk each, where OpenAI's says once what all of them took; it
begins the answers in any order, which OpenAI's own client does not survive; and the stream of several prompts begins
with an event that is ``null``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.formats.client import ClientAnswer
from gateway.formats.collect import ChatCollector
from gateway.lanes.readers import ChunkReader, OpenAIChunks

_EMPTY_EVENT = b"data: null\n\n"
# What every chunk of one stream has alike.
_SAME = ("id", "object", "created", "system_fingerprint")

Chunk = dict[str, Any]


class SeveralChunks(OpenAIChunks):
    """The chunks of all answers, which begin in their order, and one at the end with what they took together.

    Args:
        choices: answers to each prompt, which is computed and counted once for all of them.
    """

    def __init__(self, choices: int) -> None:
        super().__init__()
        self._choices = choices
        self._counted: list[Mapping[str, Any]] = []
        self._same: Chunk = {}
        self._begun = 0
        self._early: dict[int, list[Chunk]] = {}

    def read_event(self, name: str, value: Chunk | None) -> list[Chunk]:
        """The chunks that one event lets through."""
        if value is None:
            self.usage = _add_up(self._counted, self._choices) if self._counted else None
            self.read(value)
            late = [chunk for _, chunks in sorted(self._early.items()) for chunk in chunks]
            return late + ([{**self._same, "choices": [], "usage": self.usage}] if self.usage else [])
        self.read(value)
        self._same = self._same or {key: value[key] for key in _SAME if key in value}
        if usage := value.pop("usage", None):
            self._counted.append(usage)
        return self._put_in_order(value) if value.get("choices") else []

    def _put_in_order(self, chunk: Chunk) -> list[Chunk]:
        """This chunk and those that waited for it; none while an answer before its own has not begun."""
        index = chunk["choices"][0].get("index") or 0
        if index > self._begun:
            self._early.setdefault(index, []).append(chunk)
            return []
        sent = [chunk]
        self._begun = max(self._begun, index + 1)
        while early := self._early.pop(self._begun, None):
            sent += early
            self._begun += 1
        return sent


class SeveralReader(ChunkReader):
    """Feeds those chunks to the client's format."""

    def __init__(self, choices: int, answer: ClientAnswer, collector: ChatCollector | None) -> None:
        super().__init__(SeveralChunks(choices), answer, collector)

    def feed(self, block: bytes) -> bytes:
        """Take whole events; returns what to send."""
        return super().feed(block.replace(_EMPTY_EVENT, b""))


def _add_up(usages: Iterable[Mapping[str, Any]], choices: int) -> dict[str, Any]:
    prompt = completion = cached = 0
    for usage in usages:
        prompt += usage.get("prompt_tokens") or 0
        completion += usage.get("completion_tokens") or 0
        cached += (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    prompt, cached = prompt // choices, cached // choices
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
