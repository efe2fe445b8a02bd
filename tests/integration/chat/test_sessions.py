"""Sessions at a real gateway: whose they are, what is kept, in which order, and what a kill leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chat_service import CHAT, ChatApi, run_chat_api
from tests.integration.stack_site import ANSWERS, ENDLESS_QUESTION, Site
from tests.ports import claim_port
from tests.waiting import wait_for

SESSIONS = "/api/v1/sessions"
KNOWN = [(question, answer) for question, answer in ANSWERS.items() if len(answer) < 120][:4]
CANARY = "planted-canary-9b2e"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions")


@pytest.fixture(scope="module")
def options(chat_site: Site, folder: Path) -> dict[str, str]:
    return {
        "GATEWAY_URL": chat_site.url,
        "GATEWAY_KEY": chat_site.keys["GATEWAY_KEY"],
        "DEFAULT_TEMPERATURE": "0",
        "DEFAULT_SYSTEM_MESSAGE": "",
        "SESSIONS": "disk",
        "FOLDER": str(folder),
    }


@pytest.fixture(scope="module")
def service(options: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatApi]:
    with run_chat_api(tmp_path_factory.mktemp("log"), options) as running:
        yield running


@pytest.fixture(scope="module")
def people(chat_site: Site) -> dict[str, str]:
    """Two people and their keys, one of which the gateway gave out."""
    given = chat_site.run_json("keys", "create", "chat-ben")["secret"]
    return {"chat-anna": chat_site.keys["GATEWAY_KEY"], "chat-ben": given}


def say(client: httpx.Client, text: str, session: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    response = client.post(CHAT, json={"user_message": text, "session_id": session, **more}, headers=headers)
    assert response.status_code == 200, response.text
    return response


def read_questions(client: httpx.Client, session: str, **headers: str) -> list[str]:
    export = client.get(f"{SESSIONS}/{session}", headers=headers).json()
    return [turn["user_message"] for turn in export["history"]]


def test_a_session_is_its_owners_alone(service: ChatApi, people: dict[str, str]) -> None:
    anna, ben = ({"authorization": f"Bearer {key}"} for key in people.values())
    with service.client() as client:
        say(client, KNOWN[0][0], "s", headers=anna)
        other = say(client, KNOWN[1][0], "s", headers=ben)
        anonymous = say(client, KNOWN[2][0], "s", free_mode=True)
        token = {"x-session-token": anonymous.headers["x-session-token"]}
        assert "x-session-token" not in other.headers
        for owner, known in ((anna, KNOWN[0]), (ben, KNOWN[1]), (token, KNOWN[2])):
            assert read_questions(client, "s", **owner) == [known[0]]
        assert client.delete(f"{SESSIONS}/s", headers=ben).status_code == 204
        assert client.get(f"{SESSIONS}/s", headers=ben).json()["code"] == "session_not_found"
        assert read_questions(client, "s", **anna) == [KNOWN[0][0]]
        again = say(client, KNOWN[0][0], "s", free_mode=True, headers=token)
        assert "x-session-token" not in again.headers
        assert read_questions(client, "s", **token) == [KNOWN[2][0], KNOWN[0][0]]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (401, "session_token_needed")),
        ({"authorization": "Bearer sk-wrong"}, (401, "invalid_key")),
        ({"x-session-token": "guessed"}, (403, "session_token_unknown")),
    ],
)
def test_nobody_else_sees_deletes_or_lists(
    service: ChatApi, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    with service.client() as client:
        for method, path in (("GET", SESSIONS), ("GET", f"{SESSIONS}/s"), ("DELETE", f"{SESSIONS}/s")):
            response = client.request(method, path, headers=headers)
            assert (response.status_code, response.json()["code"]) == expected
    sent = {"user_message": "ping", "session_id": "s", "free_mode": True}
    if "x-session-token" in headers:
        assert httpx.post(service.url + CHAT, json=sent, headers=headers).json()["code"] == expected[1]


def test_an_idempotency_key_returns_its_turn(service: ChatApi, people: dict[str, str]) -> None:
    """Also while the first is running, streamed or whole; and never for another request or another owner."""
    anna, ben = ({"authorization": f"Bearer {key}", "idempotency-key": "turn-1"} for key in people.values())
    with service.client() as client, ThreadPoolExecutor(4) as pool:
        sent = {"user_message": "Count to one hundred", "session_id": "twice"}
        posts = [pool.submit(client.post, CHAT, json=sent, headers=anna) for _ in range(4)]
        answers = [post.result() for post in posts]
        assert len({answer.json()["created_at"] for answer in answers}) == 1
        assert sum("idempotency-replayed" in answer.headers for answer in answers) == 3
        streamed = client.post(CHAT, json=sent, headers=anna, params={"stream": True}).text
        assert answers[0].text in streamed
        assert client.post(CHAT, json={**sent, "user_message": "ping"}, headers=anna).json()["code"] == (
            "idempotency_key_reused"
        )
        assert "idempotency-replayed" not in say(client, KNOWN[0][0], "twice", headers=ben).headers
        assert len(read_questions(client, "twice", **anna)) == 1


def test_what_cannot_be_idempotent_is_refused(service: ChatApi, chat_api: ChatApi) -> None:
    once = {"idempotency-key": "once"}
    for running, session, code in (
        (service, "", "idempotency_needs_session"),
        (chat_api, "s", "idempotency_needs_session"),
        (service, "s", "idempotency_needs_owner"),
    ):
        sent = {"user_message": "ping", "session_id": session, "free_mode": True}
        assert httpx.post(running.url + CHAT, json=sent, headers=once).json()["code"] == code
    with service.client() as client:
        begun = client.post(SESSIONS, json={}).json()
        owner = {"x-session-token": begun["session_token"], **once}
        first = say(client, "ping", begun["session_id"], free_mode=True, headers=owner)
        assert say(client, "ping", begun["session_id"], free_mode=True, headers=owner).text == first.text
        assert client.post(SESSIONS, json={}).json()["session_id"] != begun["session_id"]
    assert httpx.get(chat_api.url + SESSIONS).json()["code"] == "sessions_off"


def test_a_given_history_takes_the_place_of_the_stored_one_for_a_turn(service: ChatApi, people: dict[str, str]) -> None:
    key = {"authorization": f"Bearer {people['chat-anna']}"}
    with service.client(**key) as client:
        say(client, KNOWN[0][0], "replaced")
        given = say(client, KNOWN[1][0], "replaced", conversation_history=["user: ping", "assistant: pong"]).json()
        alone = say(client, KNOWN[1][0], "", conversation_history=["user: ping", "assistant: pong"]).json()
        assert given["input_tokens"] == alone["input_tokens"]
        assert len(read_questions(client, "replaced")) == 2


def test_requests_to_one_session_are_answered_one_after_the_other(service: ChatApi, people: dict[str, str]) -> None:
    """Each sees the turns before it, so that the prompts grow one by one."""
    key = {"authorization": f"Bearer {people['chat-ben']}"}
    with service.client(**key) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: say(client, "ping", "queue").json(), range(6)))
        sizes = sorted(answer["input_tokens"] for answer in answers)
        assert len(set(sizes)) == 6
        export = client.get(f"{SESSIONS}/queue").json()
        assert [turn["answer"]["input_tokens"] for turn in export["history"]] == sizes


def test_two_hundred_sessions_at_once(service: ChatApi, people: dict[str, str]) -> None:
    key = {"authorization": f"Bearer {people['chat-ben']}"}
    names = [f"crowd-{number}" for number in range(200)]

    async def ask_all() -> list[dict[str, Any]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=service.url, headers=key, limits=limits, timeout=120) as client:
            posts = [client.post(CHAT, json={"user_message": "ping", "session_id": name}) for name in names]
            return [answer.json() for answer in await asyncio.gather(*posts)]

    with service.client(**key) as client:
        answers = asyncio.run(ask_all())
        assert [answer["session_id"] for answer in answers] == names
        assert {answer["response_text"] for answer in answers} == {"pong"}
        kept = {item["session_id"]: item["turns"] for item in client.get(SESSIONS).json()["sessions"]}
        assert {name: kept[name] for name in names} == dict.fromkeys(names, 1)


def test_texts_are_in_one_file_that_only_its_owner_reads(
    service: ChatApi, people: dict[str, str], folder: Path, chat_site: Site
) -> None:
    """What is deleted is overwritten; no key is in the file, and nothing said is in any log."""
    key = {"authorization": f"Bearer {people['chat-anna']}"}
    with service.client(**key) as client:
        say(client, f"ping {CANARY}", f"{CANARY}-name")
        files = sorted(folder.iterdir())
        assert [path.name for path in files] == ["sessions.db", "sessions.db-shm", "sessions.db-wal"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        held = b"".join(path.read_bytes() for path in files)
        assert CANARY.encode() in held
        assert people["chat-anna"].encode() not in held
        assert client.delete(f"{SESSIONS}/{CANARY}-name").status_code == 204
        assert CANARY.encode() not in b"".join(path.read_bytes() for path in folder.iterdir())
        assert CANARY not in client.get("/metrics").text
    logs = [service.read_log(), *(path.read_text() for path in (chat_site.state / "logs").glob("*gateway*"))]
    assert not [log for log in logs if CANARY in log]


@dataclass(frozen=True)
class SecondLife:
    """A service that was started again, and what its clients know of the one before, which was killed in a turn.

    Attributes:
        answered: the answer to the session's first turn; ``text`` is what its client was sent.
    """

    service: ChatApi
    answered: dict[str, Any]
    text: str


@pytest.fixture(scope="module")
def second_life(
    options: dict[str, str], people: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecondLife]:
    folder, port = tmp_path_factory.mktemp("killed"), claim_port()
    own = {**options, "FOLDER": str(folder), "SESSION_DAYS": "2"}
    with run_chat_api(folder, own, port) as service, service.client(**build_key(people)) as client:
        say(client, "ping", "old")
        first = say(client, KNOWN[0][0], "killed", headers={"idempotency-key": "one"})
        sent = {"user_message": ENDLESS_QUESTION, "session_id": "killed", "max_tokens": 4000}
        with client.stream("POST", CHAT, json=sent, params={"stream": True}, headers={"idempotency-key": "two"}) as it:
            pieces = it.iter_bytes()
            next(pieces)
            os.kill(service.process.pid, signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                list(pieces)
    with closing(sqlite3.connect(folder / "sessions.db")) as connection, connection:
        connection.execute("UPDATE sessions SET used_at = used_at - 3 * 86400 WHERE name = 'old'")
    with run_chat_api(folder, own, port) as service:
        yield SecondLife(service, first.json(), first.text)


def build_key(people: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {people['chat-ben']}"}


def test_a_session_is_remembered_over_a_restart(second_life: SecondLife, people: dict[str, str]) -> None:
    """No turn is lost that was acknowledged, and the model is sent it."""
    first = second_life.answered
    assert first["response_text"] == KNOWN[0][1]
    with second_life.service.client(**build_key(people)) as client:
        export = client.get(f"{SESSIONS}/killed").json()
        assert [turn["answer"] for turn in export["history"]] == [first]
        second = say(client, KNOWN[1][0], "killed").json()
        alone = say(client, KNOWN[1][0], "").json()
        assert second["input_tokens"] > alone["input_tokens"] + first["output_tokens"]
        assert client.get(f"{SESSIONS}/killed").json()["turns"] == 2


def test_a_kill_doubles_no_turn(second_life: SecondLife, people: dict[str, str]) -> None:
    """A client repeats what it got no answer to, and what it did, with the Idempotency-Keys of before."""
    with second_life.service.client(**build_key(people)) as client:
        before = read_questions(client, "killed")
        again = say(client, KNOWN[0][0], "killed", headers={"idempotency-key": "one"})
        assert again.text == second_life.text
        assert read_questions(client, "killed") == before
        assert ENDLESS_QUESTION not in before
        say(client, ENDLESS_QUESTION, "killed", headers={"idempotency-key": "two"}, max_tokens=16)
        assert read_questions(client, "killed") == [*before, ENDLESS_QUESTION]


def test_unused_sessions_expire(second_life: SecondLife, people: dict[str, str]) -> None:
    with second_life.service.client(**build_key(people)) as client:
        wait_for(lambda: client.get(f"{SESSIONS}/old").status_code == 404, "the end of the old session")
        assert client.get(f"{SESSIONS}/killed").status_code == 200
