"""Killed neighbours, keys of providers, a full service, and histories that do not fit."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from tests.chat_service import CHAT, ChatApi, run_chat_api
from tests.integration.gateway.drilled import run_gateway
from tests.integration.stack_site import CHAT_SERVICE, ENDLESS_QUESTION, GATEWAY_SERVICE, Site
from tests.postgres_server import run_postgres
from tests.waiting import wait_for

SESSIONS = "/api/v1/sessions"
OWN = "sk-own-canary-51be"


@pytest.fixture(scope="module")
def service(chat_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatApi]:
    folder = tmp_path_factory.mktemp("faults")
    options = {
        "GATEWAY_URL": chat_site.url, "GATEWAY_KEY": chat_site.keys["GATEWAY_KEY"], "DEFAULT_TEMPERATURE": "0",
        "SESSIONS": "disk", "FOLDER": str(folder), "HISTORY": "summarise", "PARALLEL": "2", "QUEUE": "1",
        "DEFAULT_SYSTEM_MESSAGE": "", "DEFAULT_MAX_TOKENS": "64",
    }  # fmt: skip
    with run_chat_api(folder, options) as running:
        yield running


@pytest.mark.parametrize("name", [GATEWAY_SERVICE, CHAT_SERVICE])
def test_a_turn_that_a_kill_broke_is_not_kept_and_can_be_repeated(service: ChatApi, chat_site: Site, name: str) -> None:
    headers = {"x-api-key": chat_site.keys["GATEWAY_KEY"], "idempotency-key": f"killed-{name}"}
    sent = {"user_message": ENDLESS_QUESTION, "session_id": f"killed-{name}", "max_tokens": 4000}
    pid = chat_site.find_pids()[name]
    with service.client(**headers) as client:
        with client.stream("POST", CHAT, json=sent, params={"stream": True}) as response:
            pieces = response.iter_text()
            next(pieces)
            os.kill(pid, signal.SIGKILL)
            ended = "".join(pieces)
        assert "event: error" in ended
        assert "event: end" not in ended
        problem = json.loads(ended.rpartition("data: ")[2])
        assert (problem["kind"], problem["success"]) == ("openai_client", False)
        chat_site.wait_healthy()
        wait_for(lambda: client.get("/health/ready").status_code == 200, "the gateway")
        assert client.get(f"{SESSIONS}/killed-{name}").status_code == 404
        sent = {**sent, "max_tokens": 4}
        first, again = (client.post(CHAT, json=sent) for _ in range(2))
        assert first.status_code == 200, first.text
        assert again.text == first.text
        assert client.get(f"{SESSIONS}/killed-{name}").json()["turns"] == 1


def test_a_full_service_says_so_at_once(service: ChatApi) -> None:
    sent = json.dumps({"user_message": ENDLESS_QUESTION, "free_mode": True, "max_tokens": 100_000}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(sent)}"
    with service.client() as client:
        with ExitStack() as running:
            for number in range(3):
                if number == 2:  # a made-up key is refused before it waits
                    wait_for(lambda: "chat_api_requests_running 2.0" in client.get("/metrics").text, "both places' use")
                    made_up = {"user_message": "ping", "openai_api_key": "sk-made-up"}
                    assert client.post(CHAT, json=made_up).json()["code"] == "invalid_key"
                    assert "chat_api_requests_running 2.0" in client.get("/metrics").text
                connection = running.enter_context(socket.create_connection(("127.0.0.1", service.port)))
                connection.sendall(head.encode() + b"\r\n\r\n" + sent)
            wait_for(lambda: "chat_api_requests_inside 3.0" in client.get("/metrics").text, "three requests")
            refused = client.post(CHAT, json={"user_message": "ping", "free_mode": True})
            assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
            assert refused.headers["retry-after"]
        wait_for(lambda: "chat_api_requests_inside 0.0" in client.get("/metrics").text, "their end")


@pytest.mark.parametrize("way", ["drop", "summarise"])
def test_a_history_is_made_to_fit_by_counted_tokens(service: ChatApi, chat_api: ChatApi, way: str) -> None:
    """The engine takes what is sent, and it is nearly all that it has room for: nothing was left out for nothing."""
    history = [f"{role}: {'word ' * 150}{number}" for number in range(40) for role in ("user", "assistant")]
    with (chat_api if way == "drop" else service).client() as client:
        models = client.get("/api/v1/system/info").json()["models"]
        context = next(model["context_length"] for model in models if model["id"] == "local-chat")
        sent = {"user_message": "ping", "free_mode": True, "conversation_history": history, "max_tokens": 64}
        answer = client.post(CHAT, json=sent)
        assert answer.status_code == 200, answer.text
        taken = answer.json()["input_tokens"]
        assert taken <= context - 64
        assert taken > (context * 0.8 if way == "drop" else context * 0.25)


def test_a_summary_takes_the_place_of_old_turns_of_a_session(service: ChatApi, chat_site: Site) -> None:
    key = {"x-api-key": chat_site.keys["GATEWAY_KEY"]}
    with service.client(**key) as client:
        for number in range(7):
            sent = {"user_message": f"{number} " + "word " * 700, "session_id": "long", "max_tokens": 8}
            assert client.post(CHAT, json=sent).status_code == 200
        export = client.get(f"{SESSIONS}/long").json()
        assert export["turns"] == len(export["history"]) == 7
        assert export["summary"]


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    with run_stand_in(lambda request, number: None) as running:
        yield running


@pytest.fixture(scope="module")
def provider_gateway(provider: StandIn) -> Iterator[DrillGateway]:
    """``ok`` and ``none`` are at one provider, which is asked with a caller's key or, for ``none``, never."""
    fallback = {"targets": ["503-openai@one", "ok@two"], "retries": 0, "provider_key": "allowed"}
    names = {"ok@one": "one", "503-openai@one": "one", "ok@two": "two"}
    models = [
        {"model_name": name, "litellm_params": {
            "api_base": f"{provider.url}/v1", "api_key": f"gateways-{owner}", "model": f"openai/{name}"}}
        for name, owner in names.items()
    ]  # fmt: skip
    routes = {
        "ok@one": {"targets": ["ok@one"], "retries": 0, "provider_key": "allowed"},
        "falls": fallback,
        "none": {"targets": ["ok@two"], "retries": 0},
    }
    own = {
        "providers": {owner: {"kind": "openai-compatible"} for owner in ("one", "two")},
        "models": {name: {"provider": owner} for name, owner in names.items()},
        "routes": routes,
    }
    with run_gateway(json.dumps({"model_list": models, "gateway": own})) as running:
        yield running


@pytest.fixture(scope="module")
def takes_keys(provider_gateway: DrillGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatApi]:
    """A service whose operator allows keys of providers."""
    options = {"GATEWAY_URL": provider_gateway.url, "GATEWAY_KEY": provider_gateway.key, "CALLER_PROVIDER_KEYS": "on"}
    with run_chat_api(tmp_path_factory.mktemp("takes keys"), options) as running:
        yield running


def ask(client: httpx.Client, model: str, stream: bool, **more: Any) -> tuple[int, str]:
    """Status, and the code or whose key was used."""
    response = client.post(CHAT, json={"user_message": "hi", "model": model, **more}, params={"stream": stream})
    if response.status_code != 200:
        return response.status_code, response.json()["code"]
    return 200, json.loads(response.text.rpartition("data: ")[2] if stream else response.text)["api_key_source"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_key_is_used_for_its_request_alone(
    provider_gateway: DrillGateway, provider: StandIn, takes_keys: ChatApi, stream: bool
) -> None:
    with takes_keys.client() as client:
        for _ in range(2):  # the second time it is known to be no key of the gateway
            history = ["user: hi", "assistant: hello"]  # the gateway is asked for the model's size, too
            assert ask(client, "ok@one", stream, openai_api_key=OWN, conversation_history=history) == (200, "user")
            assert provider.seen("ok@one").requests[-1].headers["authorization"] == f"Bearer {OWN}"
        assert ask(client, "ok@one", stream, free_mode=True) == (200, "default")
        assert provider.seen("ok@one").requests[-1].headers["authorization"] == "Bearer gateways-one"
        assert ask(client, "none", stream, openai_api_key=OWN) == (403, "provider_key_not_taken")
        # A fallback would be asked with the gateway's own key: normal mode takes the caller's alone.
        before = provider.seen("ok@two").count
        assert ask(client, "falls", stream, openai_api_key=OWN) == (503, "gateway_failed")
        assert provider.seen("ok@two").count == before
        assert ask(client, "falls", stream, openai_api_key=OWN, free_mode=True) == (200, "default")
        assert ask(client, "ok@one", stream, openai_api_key=provider_gateway.key) == (200, "user")
        assert provider.seen("ok@one").requests[-1].headers["authorization"] == "Bearer gateways-one"
        assert OWN not in takes_keys.read_log()


def test_who_sends_any_key_at_all_in_free_mode_is_paid_for_as_one_without(
    provider_gateway: DrillGateway, tmp_path: Path
) -> None:
    """A key that nobody knows must be no way around the limits of the key that pays; here the gateway refuses that."""
    options = {"GATEWAY_URL": provider_gateway.url, "GATEWAY_KEY": provider_gateway.key, "FREE_KEY": "sk-used-up"}
    with run_chat_api(tmp_path, {**options, "CALLER_PROVIDER_KEYS": "on"}) as running, running.client() as client:
        for key in ("", OWN):
            asked = ask(client, "falls", False, openai_api_key=key, free_mode=True)
            assert asked == (503, "service_key_refused")
        assert ask(client, "ok@one", False, openai_api_key=OWN) == (200, "user")


def test_a_service_that_takes_no_keys_of_providers_and_has_a_wrong_one_of_its_own(
    provider_gateway: DrillGateway, tmp_path: Path
) -> None:
    """The wrong key is told as its operator's fault, not as its caller's."""
    options = {"GATEWAY_URL": provider_gateway.url, "GATEWAY_KEY": "sk-of-nobody"}
    with run_chat_api(tmp_path, options) as running, running.client() as client:
        assert ask(client, "ok@one", False, openai_api_key=OWN) == (401, "invalid_key")
        for history in ([], ["user: hi", "assistant: hello"]):
            sent = {"user_message": "hi", "free_mode": True, "model": "ok@one", "conversation_history": history}
            refused = client.post(CHAT, json=sent).json()
            assert (refused["status"], refused["code"], refused["kind"]) == (
                503,
                "service_key_refused",
                "configuration",
            )
        assert client.get("/api/v1/system/info").json()["gateway"] == {"status": "service_key_refused"}


def test_without_a_gateway_it_lives_and_is_not_ready(tmp_path: Path) -> None:
    """And where nobody is answered without a key, it needs none to say so."""
    options = {"GATEWAY_URL": "http://127.0.0.1:9", "GATEWAY_KEY": "k", "FREE_PARALLEL": "0", "SESSIONS": "disk"}
    with run_chat_api(tmp_path, {**options, "FOLDER": str(tmp_path)}) as running, running.client() as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").json()["code"] == "gateway_unreachable"
        refused = client.post(CHAT, json={"user_message": "hi", "openai_api_key": "sk-some"}).json()
        assert (refused["status"], refused["code"]) == (503, "gateway_unreachable")
        assert client.get("/api/v1/system/info").json()["gateway"] == {"status": "gateway_unreachable"}
        asked = (client.post(CHAT, json={"user_message": "hi", "free_mode": True}), client.post(SESSIONS, json={}))
        for refused in (answer.json() for answer in asked):
            assert (refused["status"], refused["code"]) == (503, "service_key_missing")


def test_callers_without_a_key_share_the_limits_of_the_key_that_pays_for_them(chat_site: Site, tmp_path: Path) -> None:
    free = chat_site.run_json("keys", "create", "chat-free", "--rpm", "1")["secret"]
    own = chat_site.keys["GATEWAY_KEY"]
    sent = {"user_message": "ping", "free_mode": True}
    options = {"GATEWAY_URL": chat_site.url, "GATEWAY_KEY": own, "FREE_KEY": free}
    with run_chat_api(tmp_path, options) as running, running.client() as client:
        asked = wait_for(
            lambda: it if (it := client.post(CHAT, json=sent)).status_code == 200 else None, "the key to be known"
        )
        assert asked.json()["api_key_source"] == "default"
        wait_for(lambda: client.post(CHAT, json=sent).json().get("code") == "rate_limit_exceeded", "its limit")
        assert client.post(CHAT, json=sent, headers={"x-api-key": own}).json()["api_key_source"] == "user"


def test_sessions_in_postgresql(chat_site: Site, tmp_path: Path) -> None:
    """Two services share them; while the server is away no turn is acknowledged."""
    with run_postgres() as postgres:
        options = {
            "GATEWAY_URL": chat_site.url, "GATEWAY_KEY": chat_site.keys["GATEWAY_KEY"], "SESSIONS": "disk",
            "DATABASE_URL": postgres.build_url(postgres.make_database()), "DEFAULT_TEMPERATURE": "0",
        }  # fmt: skip
        key = {"x-api-key": chat_site.keys["GATEWAY_KEY"]}
        sent = {"user_message": "ping\x00", "session_id": "shared"}
        with run_chat_api(tmp_path, options) as one, run_chat_api(tmp_path, options) as two:
            for running in (one, two):
                assert httpx.post(running.url + CHAT, json=sent, headers=key, timeout=60).status_code == 200
            export = httpx.get(f"{one.url}{SESSIONS}/shared", headers=key).json()
            assert [turn["user_message"] for turn in export["history"]] == ["ping\x00"] * 2
            listed = httpx.get(two.url + SESSIONS, headers=key).json()["sessions"]
            assert [(session["session_id"], session["turns"]) for session in listed] == [("shared", 2)]
            postgres.kill()
            refused = httpx.post(one.url + CHAT, json=sent, headers=key, timeout=60).json()
            assert (refused["status"], refused["code"]) == (503, "sessions_unavailable")
            assert postgres.password not in one.read_log()
            postgres.restore()
            wait_for(lambda: httpx.get(f"{one.url}/health/ready").status_code == 200, "the sessions")
            assert httpx.post(one.url + CHAT, json=sent, headers=key, timeout=60).status_code == 200
            assert httpx.delete(f"{two.url}{SESSIONS}/shared", headers=key).status_code == 204
