"""/api/v1/sessions: begin, list, export and delete; the owner's alone. Does I/O through the sessions."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from chat_api.api.bodies import read_value
from chat_api.api.chat_routes import read_key, read_session_token
from chat_api.api.openapi import describe_body, describe_problems
from chat_api.api.parts import Parts
from chat_api.dto.request import SESSION_ID, SessionRequest
from chat_api.dto.response import BegunSession, SessionExport, SessionFacts, SessionList, StoredTurn
from chat_api.exceptions.chat_exceptions import ConfigurationException, ValidationException
from chat_api.service.keys import SelectedKey, check_key
from chat_api.service.sessions import Owner, Sessions
from chat_api.store import sessions as store
from chat_api.store.sessions import StoredSession

_PATH = "/api/v1/sessions"
_ONE = _PATH + "/{session_id}"
_NAME = Path(max_length=128, pattern=SESSION_ID)
_OWNERS: dict[str, Any] = {"security": [{"bearer": []}, {"session_token": []}]}


def build_session_router(parts: Parts) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["sessions"])
    work = _Work(parts)
    problems = describe_problems(400, 401, 404, 503)
    router.add_api_route(_PATH, work.begin, methods=["POST"], status_code=201, response_model=BegunSession,
                         responses=describe_problems(400, 401, 404, 408, 413, 415, 422, 503),
                         openapi_extra={**describe_body(SessionRequest), **_OWNERS})  # fmt: skip
    router.add_api_route(_PATH, work.list, methods=["GET"], response_model=SessionList, responses=problems,
                         openapi_extra=_OWNERS)  # fmt: skip
    router.add_api_route(_ONE, work.export, methods=["GET"], response_model=SessionExport, responses=problems,
                         openapi_extra=_OWNERS)  # fmt: skip
    router.add_api_route(_ONE, work.remove, methods=["DELETE"], status_code=204, responses=problems,
                         openapi_extra=_OWNERS)  # fmt: skip
    return router


class _Work:
    """What the routes do."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def begin(self, request: Request) -> BegunSession:
        """Begin a session. Without a key it is anonymous, and its token is told once."""
        sessions = self._find_sessions()
        value = await read_value(request, SessionRequest, self._parts.settings.max_body_bytes)
        if not read_key(request):
            await self._check_free_mode()
        owner = await self._find_owner(sessions, request, begins=True)
        name = value.session_id or f"s-{uuid.uuid4().hex}"
        session, turns = await sessions.begin(owner, name)
        facts = _describe(session, turns)
        return BegunSession(**facts.model_dump(), session_token=owner.token or None)

    async def list(self, request: Request) -> SessionList:
        """The caller's sessions, the one used last first; of more than a thousand, those used last."""
        sessions = self._find_sessions()
        owner = await self._find_owner(sessions, request)
        found = await sessions.do(lambda it: store.list_sessions(it, owner.hash))
        return SessionList(sessions=[_describe(session, turns) for session, turns in found])

    async def export(self, request: Request, session_id: str = _NAME) -> SessionExport:
        """Everything that is kept of a session."""
        sessions = self._find_sessions()
        owner = await self._find_owner(sessions, request)
        session = await sessions.do(lambda it: store.find_session(it, owner.hash, session_id))
        if session is None:
            raise ValidationException("session_not_found")
        turns = await sessions.do(lambda it: store.list_turns(it, session, most=store.MOST_EXPORTED))
        history = [
            StoredTurn.model_validate({"number": turn.number, "user_message": turn.question, "answer": turn.answer})
            for turn in turns
        ]
        facts = _describe(session, turns[-1].number if turns else 0)
        return SessionExport(**facts.model_dump(), summary=session.summary, history=history)

    async def remove(self, request: Request, session_id: str = _NAME) -> Response:
        """Delete a session with all its turns."""
        sessions = self._find_sessions()
        owner = await self._find_owner(sessions, request)
        if not await sessions.do(
            lambda it: store.remove_session(it, owner.hash, session_id), tidies=True, changes=True
        ):
            raise ValidationException("session_not_found")
        return Response(status_code=204)

    def _find_sessions(self) -> Sessions:
        if self._parts.sessions is None:
            raise ValidationException("sessions_off")
        return self._parts.sessions

    async def _find_owner(self, sessions: Sessions, request: Request, *, begins: bool = False) -> Owner:
        """Whose sessions a request is about: those of a key that the gateway takes now, or of a token."""
        key = read_key(request)
        if not key:
            return await sessions.find_owner(None, read_session_token(request), begins=begins)
        selected = SelectedKey(check_key(key), "user")
        kind = await self._parts.asker.judge(selected)
        return await sessions.find_owner(replace(selected, kind=kind), "", begins=begins)

    async def _check_free_mode(self) -> None:
        """Whether anybody is answered without a key: a session that could never have a turn is not begun.

        Raises:
            ChatApiException: nobody is, or the gateway cannot be asked.
        """
        if not (key := self._parts.settings.free_key):
            raise ConfigurationException("service_key_missing")
        await self._parts.asker.judge(SelectedKey(key, "default"))


def _describe(session: StoredSession, turns: int) -> SessionFacts:
    return SessionFacts(
        session_id=session.name,
        turns=turns,
        created_at=datetime.fromtimestamp(session.created_at, UTC),
        used_at=datetime.fromtimestamp(session.used_at, UTC),
    )
