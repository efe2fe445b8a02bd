"""Read a server's streamed answer and write the client's. Pure: bytes in, bytes out.

``PassThrough`` is the native lane: the server's own bytes, looked at for content, usage and the end. ``ChunkReader``
parses each chunk, for clients that want another format, one whole answer, or what a server leaves to its client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from gateway.errors import ApiError
from gateway.formats.client import ClientAnswer
from gateway.formats.collect import ChatCollector
from gateway.lanes.refusals import find_overflow
from gateway.lanes.sse import iterate_json
from gateway.outcomes import BROKEN_ANSWER, SERVER_ERROR, TargetError

Usage = Mapping[str, Any]
# What a piece of OpenAI's stream is opened for; everything else passes as it is. None of the keys can stand in a text:
# a quotation mark there has a backslash before it. Searched for as they are: a regular expression takes ten times as
# long.
_ALWAYS_NOTABLE = (b"[DONE]", b'"error"')
_NOTABLE_UNLESS_NULL = tuple((key, key + b":null", key + b": null") for key in (b'"finish_reason"', b'"usage"'))
_MODEL_KEY = b'"model"'
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
# Of a delta: what is an answer, as opposed to a role that is about to say something.
_CONTENT = ("content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal", "audio")


class Reader(Protocol):
    """What a lane needs to know of an answer while it arrives."""

    @property
    def has_content(self) -> bool:
        """Whether something of the answer itself was there."""

    @property
    def is_done(self) -> bool:
        """Whether the format's terminal event was seen."""

    @property
    def usage(self) -> Usage | None:
        """What the server counted."""

    @property
    def pieces(self) -> int:
        """Events of the answer so far: about its tokens, where no server counts them."""

    def feed(self, block: bytes) -> bytes:
        """Take whole events; returns what to send."""

    def finish(self) -> bytes:
        """What to send at the end, or the whole answer."""

    def fail(self, error: ApiError) -> bytes:
        """A well-formed error event, after which the stream ends."""


class OpenAIState:
    """What was seen of a stream in OpenAI's format: checks each chunk, knows when the answer is complete."""

    def __init__(self) -> None:
        self.has_content = False
        self.is_done = False
        self.usage: Usage | None = None
        self._has_finished = False

    def read(self, value: dict[str, Any] | None) -> None:
        """Look at one event.

        Raises:
            TargetError: the event is the server's error, or the stream ends without an answer.
        """
        if value is None:
            self._end()
            return
        if error := value.get("error"):
            details = error if isinstance(error, dict) else {"message": str(error)}
            raise find_overflow(details) or TargetError(SERVER_ERROR)
        if isinstance(usage := value.get("usage"), dict):
            self.usage = _add_cached(usage, value.get("timings"))
        for choice in value.get("choices") or ():
            if choice.get("finish_reason"):
                self._has_finished = True
            delta = choice.get("delta")
            if choice.get("text") or (delta and any(delta.get(name) for name in _CONTENT)):
                self.has_content = True

    def _end(self) -> None:
        # An answer of no token is one when the server counted for it; else nothing was answered.
        if not self._has_finished or not (self.has_content or self.usage):
            raise TargetError(BROKEN_ANSWER)
        self.is_done = self.has_content = True


def _is_notable(block: bytes) -> bool:
    """Whether a piece holds more than the next words of an answer, or may."""
    for key in _ALWAYS_NOTABLE:
        if key in block:
            return True
    for key, tight, loose in _NOTABLE_UNLESS_NULL:
        if (found := block.count(key)) and found != block.count(tight) and found != block.count(loose):
            return True
    return False


def _add_cached(usage: Usage, timings: Any) -> Usage:
    """The usage with the prompt's cached tokens, which some versions of llama.cpp tell in their timings alone."""
    cached = timings.get("cache_n") if isinstance(timings, dict) else None
    if cached is None or usage.get("prompt_tokens_details"):
        return usage
    return {**usage, "prompt_tokens_details": {"cached_tokens": cached}}


class PassThrough:
    """OpenAI's stream for a client that wants just that: bytes pass, the model's name is the one asked for."""

    def __init__(self, asked: str, wants_usage: bool) -> None:
        self._state = OpenAIState()
        self._model = b'"model":%s' % orjson.dumps(asked)
        self._asked = asked
        self._wants_usage = wants_usage
        self._is_renamed: bool | None = None
        self._found = self._model
        self.has_content = False
        self.is_done = False
        self.pieces = 0

    @property
    def usage(self) -> Usage | None:
        """What the server counted."""
        return self._state.usage

    def feed(self, block: bytes) -> bytes:
        """Take whole events; returns what to send."""
        if not self.has_content or _is_notable(block):
            return self._open(block)
        self.pieces += block.count(b"\n\n")
        return self._rename(block) if self._is_renamed else block

    def _rename(self, block: bytes) -> bytes:
        # A server writes its name in each piece alike; the regular expression is for one that does not.
        if block.count(self._found) == block.count(_MODEL_KEY):
            return block.replace(self._found, self._model)
        return _MODEL.sub(self._replace, block)

    def _replace(self, found: re.Match[bytes]) -> bytes:
        self._found = found[0]
        return self._model

    def _open(self, block: bytes) -> bytes:
        sent = []
        for _, value, event in iterate_json(block):
            self._state.read(value)
            if value is not None:
                if self._is_renamed is None and "model" in value:
                    self._is_renamed = value["model"] != self._asked
                if not self._wants_usage and value.get("usage") and not value.get("choices"):
                    continue
            sent.append(_MODEL.sub(self._replace, event) if self._is_renamed else event)
            if self._state.is_done:
                break
        self.has_content, self.is_done = self._state.has_content, self._state.is_done
        self.pieces += len(sent) if self.has_content else 0
        return b"\n\n".join(sent) + b"\n\n" if sent else b""

    def finish(self) -> bytes:
        """Nothing: the terminal event has passed."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """A well-formed error event, after which the stream ends."""
        return b"data: %s\n\n" % error.build_body(is_anthropic=False)


class Chunks(Protocol):
    """Makes chat chunks of a server's events; its properties are those of ``Reader``."""

    @property
    def has_content(self) -> bool:
        """See ``Reader``."""

    @property
    def is_done(self) -> bool:
        """See ``Reader``."""

    @property
    def usage(self) -> Usage | None:
        """See ``Reader``."""

    def read_event(self, name: str, value: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The chunks of one event; raises ``TargetError`` for one that is an error."""


class OpenAIChunks(OpenAIState):
    """The chunks of a server that speaks OpenAI's format."""

    def read_event(self, name: str, value: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The chunk of one event."""
        self.read(value)
        return [] if value is None else [value]


class ChunkReader:
    """Parses a server's events and feeds the chunks to the client's format.

    Args:
        chunks: reads the server's format.
        answer: writes the client's.
        collector: where the client wants one whole answer; None streams.
    """

    def __init__(self, chunks: Chunks, answer: ClientAnswer, collector: ChatCollector | None) -> None:
        self._chunks = chunks
        self._answer = answer
        self._collector = collector
        self.pieces = 0

    @property
    def has_content(self) -> bool:
        """Whether something of the answer itself was there."""
        return self._chunks.has_content

    @property
    def is_done(self) -> bool:
        """Whether the server's terminal event was seen."""
        return self._chunks.is_done

    @property
    def usage(self) -> Usage | None:
        """What the server counted."""
        return self._chunks.usage

    def feed(self, block: bytes) -> bytes:
        """Take whole events; returns what to send."""
        sent = []
        for name, value, _ in iterate_json(block):
            for chunk in self._chunks.read_event(name, value):
                if self._collector is None:
                    sent.append(self._answer.feed(chunk))
                else:
                    self._collector.feed(chunk)
            self.pieces += self._chunks.has_content
            if self._chunks.is_done:
                break
        return b"".join(sent)

    def finish(self) -> bytes:
        """The closing events, or the whole answer."""
        if self._collector is None:
            return self._answer.finish()
        return orjson.dumps(self._answer.whole(self._collector.build()))

    def fail(self, error: ApiError) -> bytes:
        """A well-formed error event, after which the stream ends."""
        return self._answer.fail(error)
