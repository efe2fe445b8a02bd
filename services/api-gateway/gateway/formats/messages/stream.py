"""Content blocks of a streamed answer, one after the other, whatever order their pieces come in. Pure.

In: pieces of text, of thinking and of tool calls as chat completions have them. Out: events in which no block begins
before the one before it has ended, with consecutive indexes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson

from gateway.formats.messages import events


class Block:
    """One content block: its kind, and what has come of it.

    Attributes:
        pieces: what is not yet sent.
        arguments: of a tool call, all so far.
    """

    __slots__ = ("arguments", "id", "kind", "name", "pieces")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id = self.name = ""
        self.pieces: list[str] = []
        self.arguments: list[str] = []

    @property
    def is_complete(self) -> bool:
        """Whether another block may begin: a call's arguments come interleaved with another's from some servers."""
        if self.kind != "tool_use":
            return True
        try:
            orjson.loads("".join(self.arguments))
        except orjson.JSONDecodeError:
            return False
        return True

    def build_start(self) -> dict[str, Any]:
        """The block as its first event has it."""
        if self.kind == "text":
            return {"type": "text", "text": ""}
        if self.kind == "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "tool_use", "id": self.id or f"toolu_{uuid4().hex}", "name": self.name, "input": {}}


class BlockStream:
    """Writes blocks one at a time; a piece of another block waits until the open one is complete.

    Attributes:
        has_call: whether a tool call has been written.
    """

    __slots__ = ("_calls", "_head", "_index", "_is_single", "_open", "_waiting", "has_call")

    def __init__(self, one_call: bool = False) -> None:
        """Begin an answer; with ``one_call``, tool calls after the first are dropped."""
        self.has_call = False
        self._is_single = one_call
        self._index = -1
        self._open: Block | None = None
        self._head = b""
        self._waiting: list[Block] = []
        self._calls: dict[int, Block] = {}  # the last one with each index

    def write(self, kind: str, text: str) -> bytes:
        """Events for a piece of ``text`` or ``thinking``."""
        block = self._open
        if block is not None and block.kind == kind and not self._waiting:
            return self._write_delta(text)
        last = self._waiting[-1] if self._waiting else None
        if last is None or last.kind != kind:
            last = Block(kind)
            self._waiting.append(last)
        last.pieces.append(text)
        return self._advance()

    def write_call(self, piece: Mapping[str, Any]) -> bytes:
        """Events for a piece of a tool call, as it stands in a delta's ``tool_calls``."""
        block = self._find_call(piece)
        function = piece.get("function") or {}
        if name := function.get("name"):
            block.name = block.name or name
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):  # some servers send the object itself
            arguments = orjson.dumps(arguments).decode()
        block.arguments.append(arguments)
        if block is not self._open:
            block.pieces.append(arguments)
            return self._advance()
        sent = self._write_delta(arguments)
        return sent + self._advance() if self._waiting else sent

    def close(self) -> bytes:
        """The events that end all blocks; what still waits is written, a call that has no name is none."""
        self._waiting = [block for block in self._waiting if block.kind != "tool_use" or block.name]
        sent = b""
        while self._waiting:
            sent += self._begin(self._waiting.pop(0))
        return sent + self._end()

    def _find_call(self, piece: Mapping[str, Any]) -> Block:
        """The call that a piece belongs to; some servers give all calls one index, or none, and an id to each."""
        index, name = piece.get("index") or 0, piece.get("id") or ""
        block = self._calls.get(index)
        if block is None or (name and block.id and name != block.id):
            is_dropped = self._is_single and len(self._calls) > 0
            block = self._calls[index] = Block("tool_use")
            if not is_dropped:
                self._waiting.append(block)
        block.id = block.id or name
        return block

    def _advance(self) -> bytes:
        sent = b""
        while self._waiting and (self._open is None or self._open.is_complete):
            following = self._waiting[0]
            if following.kind == "tool_use" and not following.name:
                break
            sent += self._begin(self._waiting.pop(0))
        return sent

    def _begin(self, block: Block) -> bytes:
        ended = self._end()
        self._open = block
        self._index += 1
        self._head = events.build_delta_head(self._index, block.kind)
        self.has_call = self.has_call or block.kind == "tool_use"
        start = events.write_block_start(self._index, block.build_start())
        text = "".join(block.pieces)
        block.pieces.clear()
        return ended + start + self._write_delta(text)

    def _write_delta(self, text: str) -> bytes:
        return b"%s%s%s" % (self._head, orjson.dumps(text), events.DELTA_END) if text else b""

    def _end(self) -> bytes:
        block, self._open = self._open, None
        if block is None:
            return b""
        stop = events.write_block_stop(self._index)
        return events.write_signature(self._index) + stop if block.kind == "thinking" else stop
