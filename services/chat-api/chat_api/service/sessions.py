"""Sessions: whose they are, one turn at a time, and what of them is kept. Does I/O through the database.

A session belongs to the key that began it, an anonymous one to a token of this service's. Names are each owner's own:
session "s" of one is not session "s" of another.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chat_api.dto.request import ChatRequest
from chat_api.exceptions.chat_exceptions import ChatServiceException, ValidationException
from chat_api.service.keys import SelectedKey, hash_key, hash_token
from chat_api.store import sessions as store
from chat_api.store.database import Connection, Database
from chat_api.store.schema import FullError, StoreError, TakenError, UncertainError
from chat_api.store.sessions import NewTurn, StoredSession, Turn
from chat_api.telemetry.logs import note

_LOG = logging.getLogger("chat_api.sessions")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_TOKEN_BYTES, _MOST_TOKEN = 32, 128
_DAY_S = 86_400.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a session is.

    Attributes:
        hash: of the key or the token.
        token: one that was made for this request, to be told; empty for none.
        is_free: whether nobody's key stands behind it.
    """

    hash: bytes
    token: str = ""
    is_free: bool = False


@dataclass(slots=True)
class Kept:
    """A session that one request has for itself.

    Attributes:
        session: what is stored of it; None before its first turn.
        last: number of its last turn.
        turns: those that no summary has taken in.
        again: the turn that the client's Idempotency-Key already had.
    """

    owner: Owner
    name: str
    idempotency: str = ""
    asked: bytes = b""
    session: StoredSession | None = None
    last: int = 0
    turns: list[Turn] = field(default_factory=list)
    again: Turn | None = None

    def repeat(self) -> dict[str, Any]:
        """The answer of the turn that was there.

        Raises:
            ValidationException: it was to another request.
        """
        assert self.again is not None
        if not hmac.compare_digest(self.again.asked, self.asked):
            raise ValidationException("idempotency_key_reused")
        return self.again.answer


class Sessions:
    """The sessions of one service.

    Args:
        days: after which a session that nobody used is removed; 0 for never.
        most_free: how many are kept for callers without a key.
    """

    def __init__(self, database: Database, days: int, most_free: int) -> None:
        self._database, self._days, self._most_free = database, days, most_free
        self._locks: dict[tuple[bytes, str], tuple[asyncio.Lock, list[int]]] = {}

    async def find_owner(self, key: SelectedKey | None, token: str, *, begins: bool) -> Owner:
        """Whose sessions a request is about.

        Args:
            key: with which the request is asked; None for none.
            token: of an anonymous owner; empty for none.
            begins: whether a new token is made where there is none.

        Raises:
            ValidationException: the token is nobody's, or there is neither key nor token.
        """
        if key is not None and key.source == "user":
            return Owner(hash_key(key.key, key.kind))
        if token:
            owner = Owner(hash_token(token[:_MOST_TOKEN]), is_free=True)
            if not await self.do(lambda connection: store.owns_any(connection, owner.hash)):
                raise ValidationException("session_token_unknown")
            return owner
        if not begins:
            raise ValidationException("session_token_needed")
        made = secrets.token_urlsafe(_TOKEN_BYTES)
        return Owner(hash_token(made), made, is_free=True)

    @asynccontextmanager
    async def hold(self, owner: Owner, request: ChatRequest, idempotency: str) -> AsyncIterator[Kept]:
        """Have a session for one request alone; others wait for it in the order in which they came.

        Raises:
            ValidationException: the Idempotency-Key is none.
            ChatServiceException: the sessions cannot be read.
        """
        name = request.session_id or ""
        if idempotency and not _IDEMPOTENCY_KEY.fullmatch(idempotency):
            raise ValidationException("invalid_idempotency_key")
        kept = Kept(owner, name, idempotency, hash_request(request) if idempotency else b"")
        async with self._take_turn(owner.hash, name):
            await self.do(lambda connection: _load(connection, kept, self._most_free))
            yield kept

    async def begin(self, owner: Owner, name: str) -> tuple[StoredSession, int]:
        """The owner's session of this name, begun where there is none, and the number of its turns.

        Raises:
            ChatServiceException: there is no room for it, or it cannot be kept.
        """

        def work(connection: Connection) -> tuple[StoredSession, int]:
            if owner.is_free and store.find_session(connection, owner.hash, name) is None:
                store.check_room(connection, self._most_free)
            session = store.begin_session(connection, owner.hash, name, time.time(), is_free=owner.is_free)
            return session, store.find_last(connection, session)

        return await self.do(work, changes=True)

    async def commit(self, kept: Kept, question: str, answer: dict[str, object]) -> None:
        """Keep a turn; it is kept when this returns.

        Raises:
            ChatServiceException: it is not, or ``sessions_uncertain``.
        """
        turn = NewTurn(question, answer, kept.last, kept.idempotency, kept.asked, kept.owner.is_free)
        await self.do(
            lambda connection: store.add_turn(connection, kept.owner.hash, kept.name, turn, time.time()), changes=True
        )

    async def keep_summary(self, kept: Kept, summary: str, dropped: int) -> None:
        """Keep the summary of so many of the turns that were loaded, and of what its session's summary was of."""
        if kept.session is not None and dropped:
            session, number = kept.session, kept.turns[dropped - 1].number
            await self.do(lambda connection: store.keep_summary(connection, session, summary, number))

    async def remove_unused(self) -> int:
        """Remove what nobody used for so many days; returns the number of sessions."""
        if not self._days:
            return 0
        before = time.time() - self._days * _DAY_S
        return await self.do(lambda connection: store.remove_unused(connection, before), tidies=True)

    async def do(self, job: Callable[[Connection], T], *, tidies: bool = False, changes: bool = False) -> T:
        """Do a job of ``store.sessions``.

        Args:
            changes: whether the caller is to be told where it is not known if it was done.

        Raises:
            ChatServiceException: it could not be done, or that is not known.
        """
        try:
            return await self._database.do(job, tidies=tidies)
        except TakenError:
            raise ChatServiceException("session_changed") from None
        except FullError:
            raise ChatServiceException("free_sessions_full") from None
        except StoreError as error:
            is_open = changes and isinstance(error, UncertainError)
            code = "sessions_uncertain" if is_open else "sessions_unavailable"
            note(_LOG, logging.ERROR, code, {"reason": str(error)})
            raise ChatServiceException(code, retry_after_s=5) from error

    @asynccontextmanager
    async def _take_turn(self, owner: bytes, name: str) -> AsyncIterator[None]:
        lock, users = self._locks.setdefault((owner, name), (asyncio.Lock(), [0]))
        users[0] += 1
        try:
            async with lock:
                yield
        finally:
            users[0] -= 1
            if not users[0]:
                del self._locks[owner, name]


def hash_request(request: ChatRequest) -> bytes:
    """By which a request is known again; its key has no part in it."""
    return hashlib.sha256(request.model_dump_json(exclude={"openai_api_key"}).encode()).digest()


def _load(connection: Connection, kept: Kept, most_free: int) -> None:
    session = store.find_session(connection, kept.owner.hash, kept.name)
    if session is None:
        if kept.owner.is_free:  # before the model is asked, rather than after
            store.check_room(connection, most_free)
        return
    kept.session = session
    kept.last = store.find_last(connection, session)
    kept.again = store.find_turn(connection, session, kept.idempotency) if kept.idempotency else None
    kept.turns = [] if kept.again else store.list_turns(connection, session, session.summarised)
