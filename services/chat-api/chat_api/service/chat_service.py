"""Answer one request: its check, its key, its messages, its answer, its turn. Does I/O through what it is given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
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
from chat_api.service.cache import AnswerCache
from chat_api.service.completions import read_completion, read_count
from chat_api.service.fitting import Fitter, Wish
from chat_api.service.keys import SelectedKey, join_keys, select_key
from chat_api.service.messages import Message, build_system_message, read_history, split_turns
from chat_api.service.places import Places
from chat_api.service.sessions import Kept, Sessions

# In which a client takes the last event of a turn that is kept.
_LAST_EVENT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request with what its headers say.

    Attributes:
        key, session_token, idempotency: from the headers; empty for none.
    """

    request: ChatRequest
    request_id: str
    key: str = ""
    session_token: str = ""
    idempotency: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known when an answer begins.

    Attributes:
        token: a new one, to be told to the owner of an anonymous session; empty for none.
        is_again: whether the turn was already there, by the request's Idempotency-Key.
        is_new: whether a model is asked; not for such a turn, nor for an answer of the cache.
    """

    token: str = ""
    is_again: bool = False
    is_new: bool = True


@dataclass(slots=True)
class Turn:
    """A request under way.

    Attributes:
        body: what the gateway is sent, but for ``stream``.
        kept: the session that it is a turn of; None for none.
        limit: of the time that it may take.
        known: its answer, where there is one already; ``name`` is the cache's for a new one.
        started: when it came, by the monotonic clock.
    """

    ask: Ask
    key: SelectedKey
    kept: Kept | None
    limit: asyncio.Timeout
    body: dict[str, Any] = field(default_factory=dict)
    known: ChatResponse | None = None
    name: bytes = b""
    started: float = field(default_factory=time.monotonic)

    @property
    def begun(self) -> Begun:
        """See ``Begun``."""
        if self.kept is None:
            return Begun(is_new=self.known is None)
        return Begun(self.kept.owner.token, self.kept.again is not None, self.known is None)

    def build_response(self, opened: Opened, text: str, usage: dict[str, Any]) -> ChatResponse:
        """The answer as clients see it."""
        given, written = (read_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
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
            response_time=self._measure(),
            api_key_source=opened.source,
        )

    def repeat(self, response: ChatResponse) -> ChatResponse:
        """An answer from the cache as one to this request."""
        request = self.ask.request
        changes = {
            "session_id": request.session_id or "",
            "instructions": request.instructions or "",
            "response_time": self._measure(),
        }
        return response.model_copy(update=changes)

    def _measure(self) -> float:
        return round(time.monotonic() - self.started, 6)


class ChatService:
    """Answers requests.

    Args:
        asker: asks the gateway.
        fitter: makes histories fit.
        sessions: where turns are kept; None for a service that keeps none.
    """

    def __init__(self, settings: Settings, asker: Asker, fitter: Fitter, sessions: Sessions | None) -> None:
        self._settings, self._asker, self._fitter, self._sessions = settings, asker, fitter, sessions
        self.places = Places(settings.parallel, settings.queue, settings.free_parallel)
        self.cache = AnswerCache(settings.cache_entries, settings.cache_age_s)

    async def answer(self, ask: Ask) -> tuple[Begun, ChatResponse]:
        """The whole answer to a request; it is kept by then, where it is a turn of a session.

        Raises:
            ChatApiException: it cannot be answered.
        """
        async with self._begin(ask) as turn:
            if turn.known is not None:
                return turn.begun, turn.known
            async with self._open(turn, orjson.dumps({**turn.body, "stream": False})) as opened:
                text, usage = read_completion(await opened.answer.read_json())
            response = turn.build_response(opened, text, usage)
            await self._keep(turn, response)
            return turn.begun, response

    async def stream(self, ask: Ask) -> AsyncGenerator[Begun | list[str] | ChatResponse, None]:
        """The answer as it comes: that it has begun, lists of texts, and the whole at the end, which is kept by then.

        Raises:
            ChatApiException: it cannot be answered, or breaks off.
        """
        async with self._begin(ask) as turn:
            if turn.known is not None:
                yield turn.begun
                yield [turn.known.response_text]
                yield turn.known
                return
            reader = StreamReader()
            more = {"stream": True, "stream_options": {"include_usage": True}}
            async with self._open(turn, orjson.dumps({**turn.body, **more})) as opened:
                yield turn.begun
                async for data in opened.answer.read_pieces():
                    if texts := reader.feed(data):
                        yield texts
                    if reader.is_done:
                        break
                else:
                    raise OpenAIClientException("gateway_broken_answer")
            response = turn.build_response(opened, "".join(reader.parts), reader.usage)
            await self._keep(turn, response)
            yield response

    @asynccontextmanager
    async def _begin(self, ask: Ask) -> AsyncIterator[Turn]:
        key = self._select_key(ask)
        if key.falls or self._keeps(ask) or self.cache.is_on:
            key = await self._asker.name_kind(key)
        with self.places.enter(key.is_free), _name_timeout():
            async with asyncio.timeout(self._settings.timeout_s) as limit, AsyncExitStack() as stack:
                given = split_turns(read_history(ask.request.conversation_history or ()))
                turn = Turn(ask, key, await self._hold(ask, key, stack), limit)
                await self._prepare(turn, given)
                yield turn

    @asynccontextmanager
    async def _open(self, turn: Turn, body: bytes) -> AsyncIterator[Opened]:
        if self.places.are_taken and turn.key.source == "user":
            await self._asker.judge(turn.key)  # rather than when it is its turn, else made-up keys could fill the queue
        async with (
            self.places.take(turn.key.is_free),
            self._asker.open(turn.key, body, turn.ask.request_id) as opened,
        ):
            yield opened

    def _select_key(self, ask: Ask) -> SelectedKey:
        """The key of a request that asks something.

        Raises:
            ChatApiException: it asks nothing, or has no key that can be used.
        """
        if not (ask.request.user_message or "").strip():
            raise ValidationException("user_message_empty")
        callers = join_keys(ask.request.openai_api_key or "", ask.key)
        return select_key(callers, bool(ask.request.free_mode), self._settings.free_key)

    async def _prepare(self, turn: Turn, given: list[list[Message]]) -> None:
        """Find a turn's answer, or build what the gateway is sent for it."""
        if turn.kept and turn.kept.again:
            if not turn.kept.owner.is_free:  # whose token has shown that it is theirs
                await self._asker.confirm(turn.key)
            turn.known = ChatResponse.model_validate(turn.kept.repeat())
            return
        turn.body = await self._build_body(turn, given)
        if turn.kept is None and self.cache.is_on:
            turn.name = self.cache.build_name(turn.key, orjson.dumps(turn.body))
            if found := self.cache.find(turn.name):
                await self._asker.confirm(turn.key)
                turn.known = turn.repeat(found)

    def _keeps(self, ask: Ask) -> bool:
        return self._sessions is not None and bool(ask.request.session_id)

    async def _hold(self, ask: Ask, key: SelectedKey, stack: AsyncExitStack) -> Kept | None:
        """The session that the request is a turn of, which others wait for; None where nothing is kept."""
        if self._sessions is None or not self._keeps(ask):
            if ask.idempotency:
                raise ValidationException("idempotency_needs_session")
            return None
        owner = await self._sessions.find_owner(key, ask.session_token, begins=True)
        if owner.token and ask.idempotency:  # nobody could show that the turn is theirs
            raise ValidationException("idempotency_needs_owner")
        return await stack.enter_async_context(self._sessions.hold(owner, ask.request, ask.idempotency))

    async def _build_body(self, turn: Turn, given: list[list[Message]]) -> dict[str, Any]:
        request, defaults, kept = turn.ask.request, self._settings.defaults, turn.kept
        stored = kept if kept and not given else None
        wish = Wish(
            key=turn.key,
            request_id=turn.ask.request_id,
            model=request.model or defaults.model,
            max_tokens=request.max_tokens or defaults.max_tokens,
            system=build_system_message(request, defaults.system_message),
            question=request.user_message or "",
            turns=_list_turns(stored) if stored else given,
            summary=stored.session.summary if stored and stored.session else "",
        )
        fitted = await self._fitter.fit(wish)
        if stored and self._sessions and fitted.summary != wish.summary:
            await self._sessions.keep_summary(stored, fitted.summary, fitted.dropped)
        temperature = defaults.temperature if request.temperature is None else request.temperature
        return {
            "model": wish.model,
            "messages": fitted.messages,
            "max_tokens": wish.max_tokens,
            "temperature": temperature,
        }

    async def _keep(self, turn: Turn, response: ChatResponse) -> None:
        if turn.kept is not None and self._sessions is not None:
            question = turn.ask.request.user_message or ""
            # Not given up half-way: the store has a limit of its own, and then says what may have become of it.
            turn.limit.reschedule(None)
            await self._sessions.commit(turn.kept, question, response.model_dump(mode="json"))
            turn.limit.reschedule(asyncio.get_running_loop().time() + _LAST_EVENT_S)
        self.cache.keep(turn.name, response)


def _list_turns(kept: Kept) -> list[list[Message]]:
    return [
        [
            {"role": "user", "content": turn.question},
            {"role": "assistant", "content": str(turn.answer.get("response_text", ""))},
        ]
        for turn in kept.turns
    ]


@contextmanager
def _name_timeout() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise OpenAIClientException("gateway_timeout") from error
