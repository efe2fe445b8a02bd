"""Put together what a client was answered: a stream's pieces become whole texts, so that masks see whole secrets. Pure.

In: the bytes of an answer of any format. Out: a JSON value. Of a stream each text stands under its place in the answer,
such as ``choices.0.delta.content``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

# Places of texts that come in pieces; what names or numbers a piece is no text.
_NOT_TEXT = frozenset({"id", "type", "role", "index", "logprobs", "finish_reason", "status", "object"})
# Longer runs of numbers are vectors and tokens, which say nothing to a reader, and too much to a program.
_MOST_NUMBERS = 16
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-\r\n")
_LONG_DATA = 1024
_MOST_TEXT = 256 * 1024
# So much of the end of a text that was cut is left out: a secret that the cut went through is not recognised.
_CUT_EDGE = 4096


def read_answer(data: bytes) -> Any:
    """What was answered: a whole JSON answer as it is, a stream as its texts by place."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _join_stream(data)


def shorten(value: Any) -> Any:
    """A JSON value without pictures, sounds, vectors, tokens and the ends of very long texts; says what it left out."""
    if isinstance(value, str):
        return _shorten_text(value)
    if isinstance(value, dict):
        return {name: shorten(item) for name, item in value.items()}
    if isinstance(value, list):
        if len(value) > _MOST_NUMBERS and all(isinstance(item, int | float) for item in value):
            return f"[{len(value)} numbers left out]"
        return [shorten(item) for item in value]
    return value


def cut_edge(text: str) -> str:
    """The text, masked by now, without the part in which a secret may have been cut in two."""
    return text[:-_CUT_EDGE] + "[the rest left out]" if len(text) > _MOST_TEXT - _CUT_EDGE else text


def _shorten_text(text: str) -> str:
    head, mark, _ = text[:200].partition(";base64,")
    if mark and head.startswith("data:"):
        return f"{head}{mark}[{len(text) - len(head) - len(mark)} characters left out]"
    if len(text) > _LONG_DATA and text.isascii() and not text.encode().translate(None, bytes(_BASE64)):
        return f"[{len(text)} characters of base64 left out]"
    return text[:_MOST_TEXT]


def _join_stream(data: bytes) -> dict[str, Any]:
    pieces: dict[tuple[str | int, ...], list[str]] = {}
    whole: dict[str, Any] = {}
    for line in data.splitlines():
        if not line.startswith(b"data:"):
            continue
        try:
            event = orjson.loads(line[5:])
        except orjson.JSONDecodeError:  # its end mark, or the last line of an answer that broke off
            continue
        if not isinstance(event, dict):
            continue
        if isinstance(event.get("response"), dict) and event["response"].get("output"):
            whole = {"output": event["response"]["output"]}
        for place, text in _list_pieces(event):
            pieces.setdefault(place, []).append(text)
    return whole or {".".join(map(str, place)): "".join(texts) for place, texts in pieces.items()}


def _list_pieces(event: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts of one event with their places: of a chat or completion, Anthropic's blocks, OpenAI's responses."""
    index = event.get("index", event.get("output_index", 0))
    if "choices" in event:
        yield from _list_texts(event["choices"], ("choices",))
    elif isinstance(event.get("delta"), str):
        parts = (event.get("content_index"), event.get("summary_index"))
        yield (str(event.get("type", "")), index, *(part for part in parts if part is not None)), event["delta"]
    elif "content_block" in event or "delta" in event:
        yield from _list_texts(event.get("content_block", event.get("delta")), ("content", index))
    elif "error" in event:
        yield from _list_texts(event["error"], ("error",))


def _list_texts(value: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _NOT_TEXT:
                yield from _list_texts(item, (*place, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            index = item.get("index") if isinstance(item, dict) else None
            yield from _list_texts(item, (*place, index if isinstance(index, int) else position))
