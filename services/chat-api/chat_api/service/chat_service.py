"""Answer one request: its check, its key, its messages, its answer. Does I/O through what it is given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from chat_api.config.settings import Settings
from chat_api.dto.request import ChatRequest
from chat_api.dto.response import ChatResponse
from chat_api.exceptions.chat_exceptions import OpenAIClientException, ValidationException
from chat_api.external.events import StreamReader
from chat_api.service.asking import Asker, Opened
from chat_api.service.keys import SelectedKey, join_keys, select_key
from chat_api.service.messages import Message, assemble, build_system_message, read_history, split_turns
from chat_api.service.places import Places


@dataclass(frozen=True, slots=True)
class Ask:
    """One request with what its headers say.

    Attributes:
        key: the caller's, from the headers; empty for none.
    """

    request: ChatRequest
    request_id: str
    key: str = ""


@dataclass(slots=True)
class Turn:
    """A request under way.

    Attributes:
        body: what the gateway is sent, but for ``stream``.
        started: when it came, by the monotonic clock.
    """

    ask: Ask
    key: SelectedKey
    body: dict[str, Any]
    started: float = field(default_factory=time.monotonic)

    def build_response(self, opened: Opened, text: str, usage: dict[str, Any]) -> ChatResponse:
        """The answer as clients see it."""
        given, written = (_read_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
        return ChatResponse(
            session_id=self.ask.request.session_id or "",
            response_text=text,
            model=self.body["model"],
            input_tokens=given,
            output_tokens=written,
            total_tokens_used=given + written,
            created_at=datetime.now(UTC),
            temperature=self.body["temperature"],
            instructions=self.ask.request.instructions or "",
            response_time=round(time.monotonic() - self.started, 6),
            api_key_source=opened.source,
        )


class ChatService:
    """Answers requests.

    Args:
        asker: asks the gateway.
    """

    def __init__(self, settings: Settings, asker: Asker) -> None:
        self._settings, self._asker = settings, asker
        self.places = Places(settings.parallel, settings.queue)

    async def answer(self, ask: Ask) -> ChatResponse:
        """The whole answer to a request.

        Raises:
            ChatApiException: it cannot be answered.
        """
        async with self._begin(ask) as turn:
            body = orjson.dumps({**turn.body, "stream": False})
            async with self._open(turn, body) as opened:
                text, usage = _read_completion(await opened.answer.read_json())
            return turn.build_response(opened, text, usage)

    async def stream(self, ask: Ask) -> AsyncGenerator[list[str] | ChatResponse, None]:
        """The answer as it comes: lists of texts, an empty one as soon as it has begun, and the whole at the end.

        Raises:
            ChatApiException: it cannot be answered, or breaks off.
        """
        async with self._begin(ask) as turn:
            body = orjson.dumps({**turn.body, "stream": True, "stream_options": {"include_usage": True}})
            reader = StreamReader()
            async with self._open(turn, body) as opened:
                yield []
                async for data in opened.answer.read_pieces():
                    if texts := reader.feed(data):
                        yield texts
                    if reader.is_done:
                        break
                else:
                    raise OpenAIClientException("gateway_broken_answer")
            yield turn.build_response(opened, "".join(reader.parts), reader.usage)

    @asynccontextmanager
    async def _begin(self, ask: Ask) -> AsyncIterator[Turn]:
        with self.places.enter(), _name_timeout():
            async with asyncio.timeout(self._settings.timeout_s):
                yield self._prepare(ask)

    @asynccontextmanager
    async def _open(self, turn: Turn, body: bytes) -> AsyncIterator[Opened]:
        free_mode = bool(turn.ask.request.free_mode)
        async with self.places.take(), self._asker.open(turn.key, free_mode, body, turn.ask.request_id) as opened:
            yield opened

    def _prepare(self, ask: Ask) -> Turn:
        """Check a request and build what the gateway is sent.

        Raises:
            ChatApiException: it is not right.
        """
        request, defaults = ask.request, self._settings.defaults
        if not (request.user_message or "").strip():
            raise ValidationException("user_message_empty")
        callers = join_keys(request.openai_api_key or "", ask.key)
        key = select_key(callers, bool(request.free_mode), self._settings.gateway_key)
        history = read_history(request.conversation_history or ())
        system = build_system_message(request, defaults.system_message)
        messages: list[Message] = assemble(system, split_turns(history), request.user_message or "")
        body = {
            "model": request.model or defaults.model,
            "messages": messages,
            "max_tokens": request.max_tokens or defaults.max_tokens,
            "temperature": defaults.temperature if request.temperature is None else request.temperature,
        }
        return Turn(ask, key, body)


@contextmanager
def _name_timeout() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise OpenAIClientException("gateway_timeout") from error


def _read_completion(found: Any) -> tuple[str, dict[str, Any]]:
    """The text and the usage of a whole completion.

    Raises:
        OpenAIClientException: it is none.
    """
    try:
        text = found["choices"][0]["message"].get("content")
        usage = found.get("usage") or {}
    except (AttributeError, IndexError, KeyError, TypeError):
        raise OpenAIClientException("gateway_broken_answer") from None
    return text if isinstance(text, str) else "", usage if isinstance(usage, dict) else {}


def _read_count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else 0
