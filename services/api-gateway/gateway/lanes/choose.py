"""Choose the lane of one request to one target, and build what it sends. Pure.

Native where the client's format is one that the server speaks well; translated through a chat completion elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.catalog.values import Route, Target
from gateway.errors import ApiError, RefusedError
from gateway.formats.call import Call
from gateway.formats.chat import ChatAnswer, build_body, honour_for_engine
from gateway.formats.client import ClientAnswer
from gateway.formats.collect import ChatCollector, TextCollector
from gateway.formats.translations import find_dialect, keep_openai_fields, translate
from gateway.lanes.abilities import check_abilities
from gateway.lanes.anthropic import AnthropicReader
from gateway.lanes.readers import ChunkReader, Chunks, OpenAIChunks, PassThrough
from gateway.lanes.several import SeveralReader
from gateway.lanes.stream import StreamRequest
from gateway.policy.fields import fit_server

CHAT_PATH = "/chat/completions"
_NOT_ANTHROPICS = frozenset({"completions", "embeddings", "rerank"})
# Kinds of servers that may refuse a field which OpenAI's format has not.
_STRICT_KINDS = frozenset({"openai", "openai-compatible", "internal"})


def can_serve(target: Target, client_format: str) -> bool:
    """Whether a target's server has, or is translated to, a route for requests in this format."""
    return not target.provider.speaks_anthropic or client_format not in _NOT_ANTHROPICS


def build_stream_request(call: Call, target: Target, route: Route) -> StreamRequest:
    """What to send for a chat or a completion, and who reads the answer.

    Raises:
        RefusedError: 400 for what cannot be honoured, in the words of the client's format.
    """
    request = _build(fit_call(call, target), target, route)
    return replace(request, headers={**request.headers, **call.tracing})


def _build(call: Call, target: Target, route: Route) -> StreamRequest:
    if call.format == "completions":
        return _complete(call, target, route)
    if call.format == "messages" and target.provider.speaks_anthropic:
        return _pass_anthropic(call, target)
    fields, answer = _convert(call, target)
    check_abilities(fields, target, call)
    body = build_body(fields, target.model, route.defaults)
    if target.provider.speaks_anthropic:
        dialect = find_dialect()
        sent = orjson.dumps(dialect.build(body))
        reader = _read_chunks(call, dialect.read_chunks(), answer)
        return StreamRequest("/messages", sent, reader, call.wants_stream, dialect.headers)
    if target.provider.is_engine:
        honour_for_engine(body)
        if call.format == "messages" and call.wants_stream:
            body["return_progress"] = True
    elif target.provider.kind in _STRICT_KINDS:
        body = keep_openai_fields(call.format, body)
    sent = orjson.dumps(body)
    if _has_several(call, target):
        return StreamRequest(CHAT_PATH, sent, _read_several(call, answer), call.wants_stream)
    if call.format == "chat" and call.wants_stream and not _wants_one_call(call, target):
        return StreamRequest(CHAT_PATH, sent, PassThrough(call.asked, call.wants_usage), is_streamed=True)
    return StreamRequest(CHAT_PATH, sent, _read_chunks(call, OpenAIChunks(), answer), call.wants_stream)


def fit_call(call: Call, target: Target) -> Call:
    """The call with the fields that a target's server knows.

    Raises:
        RefusedError: 400 for a field that it does not know and without which the answer would be another.
    """
    fields, names = fit_server(call.format, call.body, target.provider.kind)
    return replace(call, body=fields) if names else call


def _convert(call: Call, target: Target) -> tuple[Mapping[str, Any], ClientAnswer]:
    """The request as a chat completion's fields, and the writer of the client's answer."""
    if call.format == "chat":
        return call.body, ChatAnswer(call.asked, call.wants_usage, _wants_one_call(call, target))
    return translate(call.format, dict(call.body))


def _wants_one_call(call: Call, target: Target) -> bool:
    """Whether the client forbade several tool calls at once, which an engine does not heed."""
    return target.provider.is_engine and call.body.get("parallel_tool_calls") is False


def _has_several(call: Call, target: Target) -> bool:
    """Whether llama.cpp's server answers more than once, and counts each answer by itself."""
    return target.provider.kind == "engine" and call.answers > 1


def _read_several(call: Call, answer: ClientAnswer) -> ChunkReader:
    return SeveralReader(call.choices, answer, _find_collector(call))


def _read_chunks(call: Call, chunks: Chunks, answer: ClientAnswer) -> ChunkReader:
    return ChunkReader(chunks, answer, _find_collector(call))


def _find_collector(call: Call) -> ChatCollector | None:
    if call.wants_stream:
        return None
    return TextCollector(call.asked) if call.format == "completions" else ChatCollector(call.asked)


def _complete(call: Call, target: Target, route: Route) -> StreamRequest:
    if target.provider.speaks_anthropic:
        text = f"Model '{call.asked}' answers chats only; /v1/completions is not for it."
        raise RefusedError(ApiError(400, "unsupported_format", text, "model"))
    check_abilities(call.body, target, call)
    sent = orjson.dumps(build_body(call.body, target.model, route.defaults))
    answer = ChatAnswer(call.asked, call.wants_usage, one_call=False)
    if _has_several(call, target):
        return StreamRequest("/completions", sent, _read_several(call, answer), call.wants_stream)
    if call.wants_stream:
        return StreamRequest("/completions", sent, PassThrough(call.asked, call.wants_usage), is_streamed=True)
    return StreamRequest("/completions", sent, _read_chunks(call, OpenAIChunks(), answer), is_streamed=False)


def _pass_anthropic(call: Call, target: Target) -> StreamRequest:
    sent = orjson.dumps({**call.body, "model": target.model, "stream": True})
    reader = AnthropicReader(call.asked, call.wants_stream)
    return StreamRequest("/messages", sent, reader, call.wants_stream, call.headers)
