"""What the service says of itself: figures, documents, the page in a browser; and any request that OpenAPI allows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.browser import open_alone
from tests.chat_service import CHAT, ChatApi, run_chat_api
from tests.integration.stack_site import Site
from tests.pictures import draw
from tests.waiting import wait_for

# Of each route, and of the one that has most to read.
EXAMPLES, MOST_EXAMPLES = 8, 25


@pytest.fixture(scope="module")
def service(chat_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatApi]:
    """With sessions and everything else switched on."""
    folder = tmp_path_factory.mktemp("everything")
    options = {
        "GATEWAY_URL": chat_site.url, "GATEWAY_KEY": chat_site.keys["GATEWAY_KEY"], "SESSIONS": "disk",
        "FOLDER": str(folder / "state"), "HISTORY": "summarise", "CACHE_ENTRIES": "10", "CALLER_PROVIDER_KEYS": "on",
        "DEFAULT_MAX_TOKENS": "16", "LOG_FILE": str(folder / "chat.log"),
    }  # fmt: skip
    with run_chat_api(folder, options) as running:
        yield running


def test_system_info_has_the_machine_and_the_models(service: ChatApi) -> None:
    info = httpx.get(f"{service.url}/api/v1/system/info", timeout=30).json()
    assert info["machine"]["cpu"]["cores"] == os.cpu_count()
    assert 0 < info["machine"]["memory"]["available_bytes"] < info["machine"]["memory"]["total_bytes"]
    assert info["service"]["uptime_s"] > 0
    assert info["service"]["sessions"] == "disk"
    assert info["gateway"]["status"] == "ok"
    models = {model["id"]: model for model in info["models"]}
    assert models["local-chat"]["context_length"] > 0
    assert models["local-chat"]["state"] in ("ok", "unknown")
    assert isinstance(info["gpus"], list)


def test_the_log_file_is_the_owners_alone(service: ChatApi) -> None:
    path = service.log.parent / "chat.log"
    httpx.get(f"{service.url}/api/v1/system/info", timeout=30)
    assert path.stat().st_mode & 0o777 == 0o600
    wait_for(lambda: "/api/v1/system/info" in path.read_text(), "the line of the request before")
    assert path.read_text() == service.read_log()


def test_the_page_works_and_loads_nothing_from_elsewhere(service: ChatApi) -> None:
    with open_alone(service.url, "/docs") as page:
        page.get_by_text("/api/v1/chat", exact=True).first.click()
        assert page.locator(".errors-wrapper").count() == 0, page.locator(".errors-wrapper").inner_text()
        page.locator("textarea").first.fill('{"user_message": "ping", "free_mode": true, "temperature": 0}')
        draw(page, "chat-api-docs")
        page.get_by_role("button", name="Execute").first.click()
        page.get_by_text("response_text").first.wait_for()


def test_the_page_is_not_shown_in_a_frame(service: ChatApi) -> None:
    policy = httpx.get(f"{service.url}/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert httpx.get(f"{service.url}/docs/../../etc/passwd").status_code == 404


def test_no_request_that_openapi_allows_is_too_much(service: ChatApi) -> None:
    """Nor one that it forbids: each is answered, and by no fault of the service."""
    document: dict[str, Any] = httpx.get(f"{service.url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=service.url)
    seen: set[int] = set()

    def ask(case: schemathesis.Case[Any]) -> None:
        response = case.call(timeout=60)
        seen.add(response.status_code)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert response.json()["success"] is False

    for found in schema.get_all_operations():
        operation = cast("Any", found).ok()
        most = MOST_EXAMPLES if operation.path == CHAT else EXAMPLES
        ours = settings(max_examples=most, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        ours(given(case=operation.as_strategy())(ask))()
    assert {200, 401} <= seen


def test_odd_and_large_texts(service: ChatApi) -> None:
    """A megabyte is more than the model takes, and no fault; odd characters go through to the session and back."""
    odd = "\x00 \u202e\u0000 \U0001f468\u200d\U0001f469\u200d\U0001f467 \ufffe 가\u1100\u1161 \u0301 ﷽"
    with service.client() as client:
        begun = client.post("/api/v1/sessions", json={"session_id": "별-1"}).json()
        owner = {"x-session-token": begun["session_token"]}
        sent = {"user_message": odd, "session_id": "별-1", "free_mode": True, "memory_context": [odd]}
        assert client.post(CHAT, json=sent, headers=owner).status_code == 200
        kept = client.get("/api/v1/sessions/별-1", headers=owner).json()["history"]
        assert [turn["user_message"] for turn in kept] == [odd]
        response = client.post(CHAT, json={"user_message": "가" * 999_999, "free_mode": True})
        assert (response.status_code, response.json()["code"]) == (400, "context_length_exceeded")
        for field in ("user_message", "system_message", "role", "instructions"):
            response = client.post(CHAT, json={"user_message": "x", field: "a" * 1_000_001, "free_mode": True})
            assert (response.status_code, response.json()["code"]) == (422, "invalid_request"), field


def read_tokens(client: httpx.Client) -> list[str]:
    """What was counted of tokens so far."""
    return [line for line in client.get("/metrics").text.splitlines() if line.startswith("chat_api_tokens_total")]


def test_the_cache_answers_the_same_caller_alone(service: ChatApi, chat_site: Site) -> None:
    own = {"x-api-key": chat_site.keys["GATEWAY_KEY"]}
    with service.client() as client:
        sent = {"user_message": "ping", "free_mode": True, "temperature": 0}
        first = client.post(CHAT, json=sent).json()
        counted = read_tokens(client)
        again, streamed = (client.post(CHAT, json=sent, params={"stream": it}) for it in (False, True))
        assert first["created_at"] == again.json()["created_at"]
        assert first["created_at"] in streamed.text
        assert read_tokens(client) == counted
        assert client.post(CHAT, json=sent, headers=own).json()["created_at"] != first["created_at"]
        assert read_tokens(client) != counted
        assert "chat_api_cached_answers 0.0" not in client.get("/metrics").text


def test_wrong_settings_end_it_with_words(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    wrong = {"SESSIONS": "disk", "FOLDER": str(tmp_path / "a-file")}
    with pytest.raises(AssertionError, match="see CHAT_API_FOLDER"), run_chat_api(tmp_path, wrong):
        pass
