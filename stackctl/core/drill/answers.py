"""A right answer of a provider in each wire format, whole and as events. Pure.

Source: OpenAI API reference (chat, completions, embeddings, models); Anthropic API reference (messages, streaming);
llama.cpp server (rerank). Names and numbers are made up, so that a client which sees one knows where it came from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stackctl.core.drill.behaviour import Behaviour, StandInRequest

# Stands in every answer and every error of the stand-in, wherever something is not for clients: its model's name, its
# sentences, addresses and headers.
CANARY = "provider-canary-5d1e"
MODEL = f"{CANARY}-model"
VECTOR = (0.5, -0.5, 0.25)


@dataclass(frozen=True, slots=True)
class Events:
    """A streamed answer in its parts.

    Attributes:
        opening: before the first piece.
        contents: one for each piece.
        closing: after the last piece: why it ended, and usage.
        terminal: what the format ends with.
        error: an error in the middle.
    """

    opening: bytes
    contents: tuple[bytes, ...]
    closing: bytes
    terminal: bytes
    error: bytes


def build_events(request: StandInRequest, behaviour: Behaviour) -> Events:
    """The answer to a request as server-sent events."""
    if request.format == "messages":
        return _build_message_events(behaviour)
    is_chat = request.format == "chat"
    options = request.fields.get("stream_options") or {}
    opening = _write_chunk(is_chat, {"role": "assistant", "content": None if not behaviour.has_content else ""})
    contents = [_write_chunk(is_chat, {"content": piece}) for piece in _list_contents(behaviour)]
    closing = _write_chunk(is_chat, {}, "stop")
    if options.get("include_usage") and behaviour.counts_usage:
        usage = _build_usage(behaviour, len(behaviour.pieces))
        closing += _write_data({**_describe_chunk(is_chat), "choices": [], "usage": usage})
    error = {"error": {"message": _sentence("stopped in the middle"), "type": "server_error", "code": "server_error"}}
    return Events(opening if is_chat else b"", tuple(contents), closing, b"data: [DONE]\n\n", _write_data(error))


def build_whole(request: StandInRequest, behaviour: Behaviour) -> Any:
    """The answer to a request as one JSON value; ``None`` for a path that no provider has."""
    text = behaviour.text if behaviour.has_content else None
    usage = _build_usage(behaviour, len(behaviour.pieces))
    match request.format:
        case "chat":
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            return {**_describe_chunk(True, "chat.completion"), "choices": [choice], "usage": usage}
        case "completions":
            choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
            return {**_describe_chunk(False), "choices": [choice], "usage": usage}
        case "embeddings":
            return _build_embeddings(request, behaviour)
        case "rerank":
            documents = request.fields.get("documents") or []
            scores = [1.0 / (number + 1) if behaviour.has_content else None for number in range(len(documents))]
            results = [{"index": number, "relevance_score": score} for number, score in enumerate(scores)]
            return {"model": MODEL, "results": results, "usage": _build_usage(behaviour, 0)}
        case "messages":
            content = [{"type": "text", "text": text}] if text is not None else None
            message = _describe_message(behaviour, "end_turn", len(behaviour.pieces))
            return {**message, "content": content}
        case "count_tokens":
            return {"input_tokens": behaviour.prompt_tokens}
        case "models":
            entry = {"id": MODEL, "object": "model", "type": "model", "created": 1, "owned_by": CANARY}
            return {"object": "list", "data": [entry], "has_more": False, "first_id": MODEL, "last_id": MODEL}
        case _:
            return None


def build_error_object(request: StandInRequest) -> Any:
    """An error where an answer should be, under a status of 200."""
    if request.format == "messages":
        return {"type": "error", "error": {"type": "api_error", "message": _sentence("failed")}}
    return {"error": {"message": _sentence("failed"), "type": "server_error", "code": "server_error", "param": None}}


def _sentence(what: str) -> str:
    return f"{CANARY} {what} at http://10.9.8.7:4321/internal: Traceback (most recent call last)"


def _list_contents(behaviour: Behaviour) -> Sequence[str | None]:
    return behaviour.pieces if behaviour.has_content else [None]


def _build_usage(behaviour: Behaviour, completion_tokens: int) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": behaviour.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": behaviour.prompt_tokens + completion_tokens,
    }
    if behaviour.cached_tokens:
        usage["prompt_tokens_details"] = {"cached_tokens": behaviour.cached_tokens}
    return usage


def _describe_chunk(is_chat: bool, kind: str = "chat.completion.chunk") -> dict[str, Any]:
    return {
        "id": "chatcmpl-77",
        "object": kind if is_chat else "text_completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "system_fingerprint": "fp_77",
    }


def _write_chunk(is_chat: bool, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    content = {"delta": delta} if is_chat else {"text": delta.get("content", "")}
    choice = {"index": 0, **content, "finish_reason": finish_reason}
    return _write_data({**_describe_chunk(is_chat), "choices": [choice]})


def _write_data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _build_embeddings(request: StandInRequest, behaviour: Behaviour) -> dict[str, Any]:
    given = request.fields.get("input")
    count = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    vector = list(VECTOR) if behaviour.has_content else None
    data = [{"object": "embedding", "index": number, "embedding": vector} for number in range(count)]
    usage = {"prompt_tokens": behaviour.prompt_tokens, "total_tokens": behaviour.prompt_tokens}
    return {"object": "list", "data": data, "model": MODEL, "usage": usage}


def _describe_message(behaviour: Behaviour, stop_reason: str | None, output_tokens: int) -> dict[str, Any]:
    cached = behaviour.cached_tokens
    usage = {"input_tokens": behaviour.prompt_tokens - cached, "output_tokens": output_tokens}
    if cached:
        usage["cache_read_input_tokens"] = cached
    return {
        "id": "msg_77",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _build_message_events(behaviour: Behaviour) -> Events:
    opening = _write_event("message_start", message=_describe_message(behaviour, None, 1))
    opening += _write_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    contents = tuple(
        _write_event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        for piece in _list_contents(behaviour)
    )
    closing = _write_event("content_block_stop", index=0)
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    closing += _write_event("message_delta", delta=delta, usage={"output_tokens": len(behaviour.pieces)})
    error = _write_event("error", error={"type": "overloaded_error", "message": _sentence("stopped in the middle")})
    return Events(opening, contents, closing, _write_event("message_stop"), error)


def _write_event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\n".encode() + _write_data({"type": name, **fields})
