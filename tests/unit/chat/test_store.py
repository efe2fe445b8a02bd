"""A store that is slow: what becomes of a turn, and what its asker is told."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chat_api.dto.request import ChatRequest
from chat_api.exceptions.chat_exceptions import ChatServiceException
from chat_api.service.sessions import Kept, Owner, Sessions
from chat_api.store import database as stores
from chat_api.store import sessions as store
from chat_api.store.database import Database, FileServer, Rows
from chat_api.store.schema import MIGRATIONS

OWNER = Owner(b"somebody")
ANSWER = {"response_text": "pong"}
WAIT_S, SHORT_S = 60.0, 0.01


class Disk:
    """Stands still within a transaction that keeps a turn, from ``goes_on.clear()`` until ``goes_on.set()``."""

    def __init__(self) -> None:
        self.stands, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()


class SlowServer(FileServer):
    """A real file on such a disk."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._disk = disk
        super().__init__(folder)

    def run(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """As ever, but for a new turn."""
        found = super().run(query, values)
        if query.startswith("INSERT INTO turns"):
            self._disk.stands.set()
            self._disk.goes_on.wait(WAIT_S)
        return found


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.goes_on.set()


@asynccontextmanager
async def open_sessions(folder: Path, disk: Disk) -> AsyncIterator[Sessions]:
    database = Database(lambda: SlowServer(folder, disk))
    try:
        yield Sessions(database, 0, 1)
    finally:
        disk.goes_on.set()
        await database.close()


async def hold(sessions: Sessions, name: str, idempotency: str = "") -> Kept:
    request = ChatRequest(session_id=name, user_message="ping")
    async with sessions.hold(OWNER, request, idempotency) as kept:
        return kept


def test_a_turn_that_a_slow_store_keeps_is_said_to_be_open_and_found_by_its_key(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tell() -> None:
        async with open_sessions(tmp_path, disk) as sessions:
            kept = await hold(sessions, "s", "once")
            disk.goes_on.clear()
            monkeypatch.setattr(stores, "_JOB_S", SHORT_S)
            asked = asyncio.ensure_future(sessions.commit(kept, "ping", dict(ANSWER)))
            await asyncio.sleep(0)
            assert disk.stands.wait(WAIT_S)
            with pytest.raises(ChatServiceException, match="sessions_uncertain"):
                await asked
            monkeypatch.setattr(stores, "_JOB_S", WAIT_S)
            disk.goes_on.set()
            again = (await hold(sessions, "s", "once")).again
            assert again
            assert again.answer == ANSWER

    asyncio.run(tell())


def test_what_waits_behind_it_never_begins_and_is_not_said_to_be_open(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tell() -> None:
        async with open_sessions(tmp_path, disk) as sessions:
            kept, other = [await hold(sessions, name) for name in ("first", "second")]
            disk.goes_on.clear()
            monkeypatch.setattr(stores, "_JOB_S", WAIT_S)
            first = asyncio.ensure_future(sessions.commit(kept, "ping", dict(ANSWER)))
            await asyncio.to_thread(disk.stands.wait, WAIT_S)
            monkeypatch.setattr(stores, "_JOB_S", SHORT_S)
            with pytest.raises(ChatServiceException, match="sessions_unavailable"):
                await sessions.commit(other, "ping", dict(ANSWER))
            monkeypatch.setattr(stores, "_JOB_S", WAIT_S)
            disk.goes_on.set()
            await first
            assert [one.name for one, _ in await sessions.do(lambda it: store.list_sessions(it, OWNER.hash))] == [
                "first"
            ]

    asyncio.run(tell())


def test_callers_without_a_key_have_so_many_sessions_and_keep_those(tmp_path: Path, disk: Disk) -> None:
    """One with a key is not concerned, and is not counted."""

    async def tell() -> None:
        async with open_sessions(tmp_path, disk) as sessions:
            free, more = [await sessions.find_owner(None, "", begins=True) for _ in range(2)]
            for _ in range(2):
                assert (await sessions.begin(free, "s"))[0].name == "s"
            for begin in (sessions.begin(free, "t"), sessions.begin(more, "s")):
                with pytest.raises(ChatServiceException, match="free_sessions_full"):
                    await begin
            with pytest.raises(ChatServiceException, match="free_sessions_full"):
                async with sessions.hold(more, ChatRequest(session_id="s", user_message="ping"), ""):
                    pass
            async with sessions.hold(free, ChatRequest(session_id="s", user_message="ping"), "") as kept:
                await sessions.commit(kept, "ping", dict(ANSWER))
            assert (await sessions.begin(OWNER, "t"))[1] == 0

    asyncio.run(tell())


def test_sessions_of_an_older_form_are_brought_to_the_newest(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / stores.FILE_NAME)) as older:
        older.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        older.execute("INSERT INTO sessions (owner, name, created_at, used_at) VALUES (?, 's', 1, 1)", (OWNER.hash,))
        older.commit()
    server = FileServer(tmp_path)
    assert [one.name for one, _ in store.list_sessions(server, OWNER.hash)] == ["s"]
    store.check_room(server, 1)
    server.close()


def test_the_sessions_of_an_owner_are_listed_with_the_number_of_their_turns(tmp_path: Path) -> None:
    with closing(FileServer(tmp_path)) as server:
        for owner, name, turns in ((b"a", "none", 0), (b"a", "two", 2), (b"b", "one", 1)):
            server.do(partial(store.begin_session, owner=owner, name=name, now=1.0))
            for number in range(turns):
                turn = store.NewTurn("ping", dict(ANSWER), number)
                server.do(partial(store.add_turn, owner=owner, name=name, turn=turn, now=2.0))
        listed = server.do(lambda it: store.list_sessions(it, b"a"))
        assert [(session.name, turns) for session, turns in listed] == [("two", 2), ("none", 0)]
        newest = server.do(lambda it: store.list_sessions(it, b"a", most=1))
        assert [session.name for session, _ in newest] == ["two"]
        assert server.do(lambda it: store.owns_any(it, b"b"))
        assert not server.do(lambda it: store.owns_any(it, b"nobody"))
