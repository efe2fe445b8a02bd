"""Apps as processes: the real programs, started, asked, changed and stopped by the commands that a person gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.app_site import find_result, run_app_site
from tests.integration.stack_site import Site
from tests.ports import claim_ports
from tests.processes import is_alive, list_listening
from tests.programs import require_program
from tests.waiting import wait_for

LOOPBACK = "0100007F"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_program("redis-server", "redis-server")
    port, *_ = claim_ports()
    with run_app_site(tmp_path_factory.mktemp('a "quoted" site'), "redis", REDIS_PORT=str(port)) as site:
        yield site


def ask_redis(site: Site, *words: str, password: str = "") -> str:
    """What redis-cli prints, asked with this password."""
    settings = site.settings
    argv = ["redis-cli", "-p", settings["REDIS_PORT"], *words]
    environment = {**os.environ, "REDISCLI_AUTH": password or settings["REDIS_PASSWORD"]}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False).stdout.strip()


def test_it_answers_who_knows_the_password_on_loopback_alone(site: Site) -> None:
    assert find_result(site, "app")[0] == "ok"
    assert ask_redis(site, "ping") == "PONG"
    assert "NOAUTH" in ask_redis(site, "ping", password="wrong")
    pid = site.find_pids()["redis"]
    assert {address for address, _ in list_listening([pid])} == {LOOPBACK}


def test_its_password_stands_in_env_and_the_secrets_file_alone(site: Site) -> None:
    password = site.settings["REDIS_PASSWORD"].encode()
    holders = {path.name for path in site.path.rglob("*") if path.is_file() and password in path.read_bytes()}
    assert holders == {".env", "secrets.json"}
    assert {path.stat().st_mode & 0o777 for path in (site.path / ".env", site.state / "secrets.json")} == {0o600}
    for pid in site.list_processes():
        assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_what_it_keeps_survives_a_kill_and_a_stop(site: Site) -> None:
    assert ask_redis(site, "set", "kept", "yes") == "OK"
    pid = site.find_pids()["redis"]
    wait_for(lambda: "aof_pending_bio_fsync:0" in ask_redis(site, "info", "persistence"), "it is on the disk")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.find_pids().get("redis") not in (0, pid, None), "another process")
    wait_for(lambda: ask_redis(site, "get", "kept") == "yes", "what was kept")
    site.run("down")
    assert not is_alive(pid)
    site.run("up")
    assert ask_redis(site, "get", "kept") == "yes"


def test_the_gateway_counts_limits_there(site: Site) -> None:
    limits = {"redis": f"127.0.0.1:{site.settings['REDIS_PORT']}", "status": "ok"}
    with site.client("GATEWAY_ADMIN_KEY") as admin:
        wait_for(lambda: admin.get("/health").json()["limits"] == limits, "limits to be shared")
    secret = json.loads(site.run("keys", "create", "ada", "--rpm", "1", "--json").stdout)["secret"]
    with httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60) as client:
        wait_for(lambda: client.get("/v1/models").status_code == 200, "the key to be known")
        body = {"model": "local-chat", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 2}
        assert [client.post("/v1/chat/completions", json=body).status_code for _ in range(2)] == [200, 429]
    assert ask_redis(site, "keys", "gateway:limits:*") == "gateway:limits:key ada:r"


def test_a_frozen_one_is_said_to_be(site: Site) -> None:
    pid = site.find_pids()["redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        warned = wait_for(
            lambda: [item for item in site.run_json("status")["warnings"] if item["subject"] == "limits"], "it"
        )
        assert warned[0]["message"].endswith("does not answer; meanwhile each gateway counts alone")
        assert find_result(site, "app") == ("failed", "no answer to PING within 4 s")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_nothing_is_left_when_its_supervisor_is_killed(site: Site) -> None:
    processes = site.list_processes()
    os.kill(site.find_supervisor(), signal.SIGKILL)
    site.run("down")
    assert not any(map(is_alive, processes))
    site.run("up")


def test_only_what_changed_is_restarted_and_an_app_that_is_no_longer_named_is_stopped(site: Site) -> None:
    before = site.find_pids()
    site.configure(REDIS_PASSWORD="another-password-of-redis")
    site.run("up")
    after = site.find_pids()
    assert {name for name, pid in after.items() if before[name] != pid} == {"redis", "api-gateway"}
    assert ask_redis(site, "ping") == "PONG"
    site.configure(STACK_APPS="")
    site.run("up")
    assert "redis" not in site.find_pids()
    assert not is_alive(after["redis"])
    site.configure(STACK_APPS="redis")
    site.run("up")
    assert "redis" in site.run("logs", "redis").stdout
