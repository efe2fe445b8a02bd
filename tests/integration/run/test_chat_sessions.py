"""The chat API's sessions at the app postgres, both as stackctl starts them: Debian's programs, users of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.app_site import run_app_site
from tests.integration.stack_site import Site
from tests.ports import claim_ports
from tests.programs import require_program
from tests.waiting import wait_for

KEPT = "SELECT count(*) FROM chat_api.turns"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_program("postgres", "postgresql")
    database, chat, *_ = claim_ports()
    ports = {"POSTGRES_PORT": str(database), "CHAT_API_PORT": str(chat)}
    settings = {"CHAT_API_SESSIONS": "disk", "EMBEDDING_MODEL": "none", **ports}
    with run_app_site(tmp_path_factory.mktemp("sessions"), "postgres,chat-api", **settings) as site:
        yield site


def ask(site: Site, user: str, password: str, query: str) -> str:
    """What psql prints."""
    argv = [
        "psql",
        "-XAtw",
        "-h",
        "127.0.0.1",
        "-p",
        site.settings["POSTGRES_PORT"],
        "-U",
        user,
        "postgres",
        "-c",
        query,
    ]
    environment = {**os.environ, "PGPASSWORD": site.settings[password]}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def test_turns_are_kept_there_over_a_kill_of_both(site: Site) -> None:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{site.settings['CHAT_API_PORT']}",
        headers={"x-api-key": site.keys["GATEWAY_KEY"], "idempotency-key": "once"},
        timeout=120,
    ) as client:
        sent = {"session_id": "trip", "user_message": "ping", "temperature": 0}
        first = client.post("/api/v1/chat", json=sent)
        assert first.json()["response_text"] == "pong"
        assert not (site.state / "apps" / "chat-api").exists()
        pids = site.find_pids()
        for service in ("postgres", "chat-api"):
            os.kill(pids[service], signal.SIGKILL)
        wait_for(lambda: is_ready(client), "both again")
        assert client.post("/api/v1/chat", json=sent).text == first.text
        assert ask(site, "chat_api", "CHAT_API_DATABASE_PASSWORD", KEPT) == "1"


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/api/v1/sessions/trip").status_code == 200
    except httpx.TransportError:
        return False


def test_neither_reads_what_is_the_others(site: Site) -> None:
    keys = "SELECT count(*) FROM gateway.keys"
    assert ask(site, "gateway", "POSTGRES_PASSWORD", keys).isdigit()
    assert "permission denied" in ask(site, "chat_api", "CHAT_API_DATABASE_PASSWORD", keys)
    assert "permission denied" in ask(site, "gateway", "POSTGRES_PASSWORD", KEPT)
    assert "password authentication failed" in ask(site, "chat_api", "POSTGRES_PASSWORD", KEPT)
