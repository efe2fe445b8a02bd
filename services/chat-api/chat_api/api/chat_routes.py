"""POST /api/v1/chat: one answer, whole or as server-sent events. Does I/O through the service."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from chat_api.api.bodies import read_value
from chat_api.api.facts import Facts, find_facts
from chat_api.api.openapi import describe_body, describe_problems
from chat_api.api.parts import Parts
from chat_api.api.problems import describe_problem
from chat_api.api.replies import JSON_HEADERS, STREAM_HEADERS, LiveResponse, Reply
from chat_api.dto.request import ChatRequest
from chat_api.dto.response import ChatResponse
from chat_api.exceptions.chat_exceptions import ChatApiException
from chat_api.service.chat_service import Ask, Begun

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream=true` server-sent events: `delta` with a `text`, and at the end `end`"
        " with the same answer, or `error` with a problem document.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_PROBLEMS = describe_problems(400, 401, 404, 408, 409, 413, 415, 422, 429, 502, 503, 504)


def build_chat_router(parts: Parts) -> APIRouter:
    """The route."""
    router = APIRouter()

    async def chat(request: Request, stream: bool = Query(False, description="Answer as events.")) -> Response:
        """Ask a model."""
        facts = find_facts(request.scope)
        value = await read_value(request, ChatRequest, parts.settings.max_body_bytes)
        ask = read_ask(request, value, facts.request_id)
        facts.logged["stream"] = stream
        work = _Work(parts, ask, facts)
        return LiveResponse(work.stream if stream else work.answer)

    router.add_api_route("/api/v1/chat", chat, methods=["POST"], response_model=ChatResponse, tags=["chat"],
                         responses={**_STREAM, **_PROBLEMS}, openapi_extra=_describe())  # fmt: skip
    return router


def read_ask(request: Request, value: ChatRequest, request_id: str) -> Ask:
    """A request with what its headers say."""
    headers = request.headers
    return Ask(value, request_id, read_key(request), read_session_token(request), headers.get("idempotency-key", ""))


def read_session_token(request: Request) -> str:
    """The token of an anonymous session; empty for none."""
    return request.headers.get("x-session-token", "").strip()


def read_key(request: Request) -> str:
    """The key in a request's headers; empty for none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()


def _describe() -> dict[str, Any]:
    return {**describe_body(ChatRequest), "security": [{}, {"bearer": []}]}


class _Work:
    """One request, as it is answered."""

    def __init__(self, parts: Parts, ask: Ask, facts: Facts) -> None:
        self._parts, self._ask, self._facts = parts, ask, facts

    async def answer(self, reply: Reply) -> None:
        """Answer in one piece."""
        begun, response = await self._parts.chat.answer(self._ask)
        self._note(begun, response)
        await reply.whole(response.model_dump_json().encode(), {**JSON_HEADERS, **_build_headers(begun)})

    async def stream(self, reply: Reply) -> None:
        """Answer as events. Until the first byte a failure is an answer of its own, and then an event."""
        begun = Begun()
        try:
            async with contextlib.aclosing(self._parts.chat.stream(self._ask)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, ChatResponse):
                        self._note(begun, piece)
                        await reply.end(_write_event(b"end", piece.model_dump_json().encode()))
                    elif isinstance(piece, Begun):
                        begun = piece
                        await reply.begin({**STREAM_HEADERS, **_build_headers(piece)})
                    else:
                        await reply.write(
                            b"".join(b'event: delta\ndata: {"text":%s}\n\n' % orjson.dumps(t) for t in piece)
                        )
        except ChatApiException as failure:
            if not reply.has_begun:
                raise
            self._facts.code = failure.code
            document = describe_problem(failure, self._facts.language, self._facts.request_id)
            await reply.end(_write_event(b"error", orjson.dumps(document)))

    def _note(self, begun: Begun, response: ChatResponse) -> None:
        """Log and count an answer; the tokens of one that is given again were counted when it was new."""
        source = response.api_key_source or ""
        if not begun.is_new:
            self._facts.logged |= {"model": response.model, "repeated": True, "api_key_source": source}
            return
        tokens = self._parts.metrics.tokens
        tokens.labels("input", source).inc(response.input_tokens)
        tokens.labels("output", source).inc(response.output_tokens)
        self._facts.logged |= {
            "model": response.model,
            "input_tokens": response.input_tokens,
            "output_tokens": response.output_tokens,
            "api_key_source": source,
        }


def _build_headers(begun: Begun) -> dict[str, str]:
    token = {"x-session-token": begun.token} if begun.token else {}
    return token | ({"idempotency-replayed": "true"} if begun.is_again else {})


def _write_event(name: bytes, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name, data)
