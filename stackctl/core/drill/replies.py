"""The bytes and pauses of one answer, from how it is to be given. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from http import HTTPStatus

from stackctl.core.drill.answers import CANARY, Events, build_error_object, build_events, build_whole
from stackctl.core.drill.behaviour import ENDLESS_BYTES, Behaviour, Close, Pause, Send, StandInRequest, Step
from stackctl.core.drill.refusals import build_refusal

_STREAMED = frozenset({"chat", "completions", "messages"})
_FOREVER = Pause(math.inf)
# What was sent must have been read, or a reset would take it away.
_BEFORE_RESET_S = 0.05
_ENDLESS_PART = b"x" * 65_536


def build_reply(request: StandInRequest, behaviour: Behaviour) -> Iterator[Step]:
    """Every step of the answer to one request, in their order."""
    if request.format == "unknown":
        behaviour = build_refusal(404)
    if behaviour.wait_head_s:
        yield Pause(behaviour.wait_head_s)
    if behaviour.hang == "before_head":
        yield _FOREVER
    if behaviour.end == "reset" and behaviour.end_after == 0:
        yield Close(resets=True)
        return
    if behaviour.body is not None and behaviour.is_raw:
        yield Send(behaviour.body)
        yield Close()
    elif behaviour.body is not None:
        yield from _send_whole(behaviour, behaviour.body)
    elif request.is_streamed and request.format in _STREAMED:
        yield from _send_stream(behaviour, build_events(request, behaviour))
    else:
        yield from _send_answer(request, behaviour)
    if not behaviour.keeps_connection:
        yield Close()


def _send_answer(request: StandInRequest, behaviour: Behaviour) -> Iterator[Step]:
    """One JSON value, which comes when the last piece of a stream would have come."""
    value = build_error_object(request) if behaviour.end == "error" else build_whole(request, behaviour)
    body = json.dumps(value).encode()
    pauses = behaviour.wait_first_s + behaviour.wait_piece_s * (len(behaviour.pieces) - 1) + behaviour.wait_end_s
    if pauses:
        yield Pause(pauses)
    if behaviour.end in ("unfinished", "half_json"):
        body = body[: len(body) // 2]
    if behaviour.end not in ("cut", "reset") and not behaviour.hang:
        yield from _send_whole(behaviour, body)
        return
    head = _write_head(behaviour, behaviour.content_type or "application/json", len(body))
    yield Send(head if behaviour.hang == "before_first_token" else head + body[: len(body) // 2])
    yield from [_FOREVER] if behaviour.hang else _break_off(behaviour)


def _break_off(behaviour: Behaviour) -> Iterator[Step]:
    if behaviour.end == "reset":
        yield Pause(_BEFORE_RESET_S)
    yield Close(resets=behaviour.end == "reset")


def _send_whole(behaviour: Behaviour, body: bytes) -> Iterator[Step]:
    yield Send(_write_head(behaviour, behaviour.content_type or "application/json", len(body)) + body)


def _send_stream(behaviour: Behaviour, events: Events) -> Iterator[Step]:
    yield Send(_write_head(behaviour, behaviour.content_type or "text/event-stream; charset=utf-8", None))
    if behaviour.hang == "before_first_token":
        yield _FOREVER
    if behaviour.wait_first_s:
        yield Pause(behaviour.wait_first_s)
    if events.opening:
        yield Send(_chunk(events.opening))
    sent = events.contents[: len(behaviour.sent_pieces)]
    for number, event in enumerate(sent):
        if number and behaviour.wait_piece_s:
            yield Pause(behaviour.wait_piece_s)
        yield Send(_chunk(event))
        if behaviour.hang == "between_tokens":
            yield _FOREVER
    if behaviour.wait_end_s:
        yield Pause(behaviour.wait_end_s)
    yield from _end_stream(behaviour, events)


def _end_stream(behaviour: Behaviour, events: Events) -> Iterator[Step]:
    match behaviour.end:
        case "cut" | "reset":
            yield from _break_off(behaviour)
            return
        case "done":
            is_whole = behaviour.end_after is None
            yield Send(_chunk((events.closing if is_whole else b"") + events.terminal))
        case "half_json":
            yield Send(_chunk(b'data: {"choices": [{"delta": {"con\n\n' + events.closing + events.terminal))
        case "error":
            yield Send(_chunk(events.error))
        case "endless_line":
            for _ in range(ENDLESS_BYTES // len(_ENDLESS_PART)):
                yield Send(_chunk(_ENDLESS_PART))
        case "unfinished":
            pass
    yield Send(b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _write_head(behaviour: Behaviour, content_type: str, length: int | None) -> bytes:
    reason = HTTPStatus(behaviour.status).phrase if behaviour.status in list(HTTPStatus) else "Overloaded"
    framing = f"content-length: {length}" if length is not None else "transfer-encoding: chunked"
    lines = [
        f"HTTP/1.1 {behaviour.status} {reason}",
        f"content-type: {content_type}",
        framing,
        f"server: {CANARY}",
        *(f"{name}: {value}" for name, value in behaviour.headers),
        *([] if behaviour.keeps_connection else ["connection: close"]),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"
