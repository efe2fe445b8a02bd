"""A key that the gateway does not take opens nothing that is kept for it: no turn, no cached answer, no session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chat_service import CHAT, ChatApi, run_chat_api
from tests.integration.stack_site import Site
from tests.waiting import wait_for

SESSIONS = "/api/v1/sessions"
TURN = {"user_message": "ping", "session_id": "s"}
ONCE = {"idempotency-key": "once"}
CACHED = {"user_message": "ping"}


@pytest.fixture(scope="module")
def options(chat_site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "GATEWAY_URL": chat_site.url, "GATEWAY_KEY": chat_site.keys["GATEWAY_KEY"], "DEFAULT_TEMPERATURE": "0",
        "CACHE_ENTRIES": "10", "SESSIONS": "disk", "FOLDER": str(tmp_path_factory.mktemp("kept")),
    }  # fmt: skip


@pytest.fixture(scope="module", params=["off", "on"])
def service(
    options: dict[str, str], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatApi]:
    """One that takes keys of the gateway alone, and one that takes those of providers, too."""
    own = {**options, "CALLER_PROVIDER_KEYS": request.param}
    with run_chat_api(tmp_path_factory.mktemp(request.param), own) as running:
        yield running


def tell(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return response.status_code, response.json().get("code", "")


def test_a_revoked_key_opens_nothing(service: ChatApi, chat_site: Site, request: pytest.FixtureRequest) -> None:
    """Where keys of providers are taken, it is one of them from then on, without what was kept for the gateway's."""
    key = chat_site.run_json("keys", "create", "chat-leaver")["secret"]
    takes_all = "[on]" in request.node.name
    with service.client(**{"x-api-key": key}) as client:
        turn, cached = client.post(CHAT, json=TURN, headers=ONCE), client.post(CHAT, json=CACHED)
        assert client.post(CHAT, json=TURN, headers=ONCE).text == turn.text
        assert client.post(CHAT, json=CACHED).json()["created_at"] == cached.json()["created_at"]
        assert client.get(f"{SESSIONS}/s").json()["turns"] == 1
        chat_site.run("keys", "revoke", "chat-leaver")
        refused = (403, "provider_key_not_taken") if takes_all else (401, "invalid_key")
        wait_for(lambda: tell_chat(client) == refused, "the end of the key")
        for sent, headers in ((TURN, ONCE), ({**TURN, "user_message": "another"}, ONCE), (CACHED, {})):
            assert tell(client.post(CHAT, json=sent, headers=headers)) == refused
        if takes_all:
            assert client.get(SESSIONS).json()["sessions"] == []
            refused = (404, "session_not_found")
        else:
            assert tell(client.get(SESSIONS)) == refused
        assert tell(client.get(f"{SESSIONS}/s")) == refused
        assert tell(client.delete(f"{SESSIONS}/s")) == refused
        assert key not in service.read_log()


def tell_chat(client: httpx.Client) -> tuple[int, str]:
    answer = client.post(CHAT, json={"user_message": "Count to one hundred", "max_tokens": 1})
    return (200, "") if answer.status_code == 200 else tell(answer)


def test_a_key_that_has_used_up_its_limits_opens_what_is_its_own(options: dict[str, str], chat_site: Site) -> None:
    """Nothing of a limit is taken for that, so that nobody has to wait to delete what is kept."""
    key = chat_site.run_json("keys", "create", "chat-often", "--rpm", "1")["secret"]
    with (
        run_chat_api(Path(options["FOLDER"]).parent, options) as running,
        running.client(**{"x-api-key": key}) as client,
    ):
        turn = client.post(CHAT, json=TURN, headers=ONCE)
        assert tell_chat(client) == (429, "rate_limit_exceeded")
        assert client.post(CHAT, json=TURN, headers=ONCE).text == turn.text
        assert client.delete(f"{SESSIONS}/s").status_code == 204


def test_while_the_gateway_is_away_nothing_kept_is_given_or_lost(
    service: ChatApi, options: dict[str, str], chat_site: Site, tmp_path: Path
) -> None:
    """The same turn is there when the gateway is back; what is a token's needs no gateway."""
    with service.client(**{"x-api-key": chat_site.keys["GATEWAY_KEY"]}) as client:
        turn = client.post(CHAT, json=TURN, headers=ONCE)
        token = {"x-session-token": httpx.post(f"{service.url}{SESSIONS}", json={}).json()["session_token"]}
        away = {**options, "GATEWAY_URL": "http://127.0.0.1:9"}
        with run_chat_api(tmp_path, away) as other, other.client(**client.headers) as lone:
            asked = (
                lone.post(CHAT, json=TURN, headers=ONCE),
                lone.get(SESSIONS),
                lone.delete(f"{SESSIONS}/s"),
                httpx.post(other.url + SESSIONS, json={}),
            )
            for answer in asked:
                assert tell(answer) == (503, "key_unchecked")
                assert answer.headers["retry-after"]
            assert [httpx.get(other.url + SESSIONS, headers=token).status_code] == [200]
        assert client.post(CHAT, json=TURN, headers=ONCE).text == turn.text


def test_when_the_key_that_pays_is_gone_what_a_token_owns_can_be_read_and_deleted(
    options: dict[str, str], chat_site: Site, tmp_path: Path
) -> None:
    """And nothing else is answered without a key: not from the cache, and no session is begun."""
    free = chat_site.run_json("keys", "create", "chat-guests")["secret"]
    asked = {**CACHED, "free_mode": True}
    with run_chat_api(tmp_path, {**options, "FREE_KEY": free}) as running, running.client() as client:
        begun = client.post(SESSIONS, json={}).json()
        token = {"x-session-token": begun["session_token"]}
        sent = {"user_message": "ping", "session_id": begun["session_id"], "free_mode": True}
        turn = client.post(CHAT, json=sent, headers={**token, **ONCE})
        assert client.post(CHAT, json=asked).status_code == 200
        chat_site.run("keys", "revoke", "chat-guests")
        closed = (503, "service_key_refused")
        wait_for(lambda: client.post(CHAT, json=sent, headers=token).status_code == 503, "the end of the key")
        assert tell(client.post(CHAT, json=asked)) == closed
        assert tell(client.post(SESSIONS, json={})) == closed
        assert client.post(CHAT, json=sent, headers={**token, **ONCE}).text == turn.text
        assert client.delete(f"{SESSIONS}/{begun['session_id']}", headers=token).status_code == 204
