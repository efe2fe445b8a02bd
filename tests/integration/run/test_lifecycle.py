"""Up, down and what lies between: a stack is there completely or not at all, and an edit restarts what it changes."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import signal
import socket

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.stack_site import (
    CHAT_SERVICE,
    DEADLINE_S,
    DEMO_MODEL,
    EMBEDDING_SERVICE,
    GATEWAY_SERVICE,
    Site,
    clean_environment,
)
from tests.ports import is_free
from tests.processes import is_alive
from tests.waiting import wait_for

CODE_SERVICE = "inference-code"


@pytest.fixture
def up_site(worn_site: Site) -> Site:
    """The module's site, running and healthy."""
    worn_site.run("up")
    return worn_site


def assert_nothing_is_left(site: Site, processes: list[int]) -> None:
    """No process, no control socket, no secret on disk, no port: as if it had never run."""
    assert [pid for pid in processes if is_alive(pid)] == []
    assert not site.socket_folder.exists()
    assert not (site.state / "secrets.json").exists()
    assert site.run_json("status")["running"] is False
    first = int(site.settings["INFERENCE_PORT"])
    assert all(map(is_free, (int(site.settings["API_GATEWAY_PORT"]), first, first + 1, first + 2)))


def list_changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in before if after.get(name) != before[name]}


def test_one_up_at_a_time_and_an_interrupted_one_leaves_nothing(worn_site: Site) -> None:
    first = worn_site.spawn("up")
    first.wait_text("waiting for")
    processes = worn_site.list_processes()
    assert processes
    first.process.send_signal(signal.SIGSTOP)  # so that it cannot end before the second one has tried
    second = worn_site.run("up", code=5)
    assert f"process {first.process.pid}" in second.stderr
    first.process.send_signal(signal.SIGINT)
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(DEADLINE_S) == 130
    assert_nothing_is_left(worn_site, processes)


def test_the_stack_survives_its_terminal(worn_site: Site) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(worn_site.path)
        command = f"{shlex.join(worn_site.command)} up && echo up is done && exec cat"
        os.execve("/bin/sh", ["sh", "-c", command], clean_environment())
    seen = b""
    while b"up is done" not in seen:
        seen += os.read(terminal, 65_536)
    before = worn_site.find_pids()
    assert len(before) == 3
    os.close(terminal)  # every process of the session is hung up
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) < 0
    assert worn_site.wait_healthy()
    assert worn_site.find_pids() == before


def test_up_twice_changes_nothing(up_site: Site) -> None:
    before = up_site.find_pids()
    assert "nothing had to change" in up_site.run("up").stdout
    assert up_site.run_json("up")["started"] == []
    assert up_site.find_pids() == before


def test_an_engine_setting_restarts_the_engines_alone(up_site: Site) -> None:
    before = up_site.find_pids()
    up_site.configure(INFERENCE_THREADS="2")
    started = up_site.run_json("up")["started"]
    changed = list_changed(before, up_site.find_pids())
    assert changed == set(started) == {CHAT_SERVICE, EMBEDDING_SERVICE}


def test_more_slots_reach_engine_and_gateway(up_site: Site) -> None:
    up_site.configure(INFERENCE_SLOTS="2")
    assert set(up_site.run_json("up")["started"]) == {CHAT_SERVICE, EMBEDDING_SERVICE, GATEWAY_SERVICE}
    assert {row["slots"] for row in up_site.run_json("models")} == {2}


def test_a_context_setting_reaches_engine_and_gateway(up_site: Site) -> None:
    shutil.copy(DEMO_MODEL, up_site.path / "models" / "chat.gguf")
    up_site.configure(CHAT_MODEL="chat.gguf")
    up_site.run("up")
    before = up_site.find_pids()
    up_site.configure(CONTEXT_LENGTH="2048")
    up_site.run("up")
    # The gateway tells clients the context, so it is one of its own inputs.
    assert list_changed(before, up_site.find_pids()) >= {CHAT_SERVICE, GATEWAY_SERVICE}
    chat = next(row for row in up_site.run_json("models") if row["served_name"] == "local-chat")
    with up_site.client() as client:
        listed = client.get("/v1/models/local-chat").json()
    assert chat["context_length"] == listed["context_length"] == 2048


def test_a_new_model_starts_beside_the_others(up_site: Site) -> None:
    before = up_site.find_pids()
    shutil.copy(DEMO_MODEL, up_site.path / "models" / "code.gguf")
    up_site.configure(CODE_MODEL="code.gguf")
    started = up_site.run_json("up")["started"]
    after = up_site.find_pids()
    assert set(started) == {CODE_SERVICE, GATEWAY_SERVICE}
    assert list_changed(before, after) == {GATEWAY_SERVICE}
    assert CODE_SERVICE in after
    assert up_site.run("chat", "ping", "--model", "local-code", "--temperature", "0").stdout.strip() == "pong"

    up_site.configure(CODE_MODEL="")
    up_site.run("up")
    assert set(up_site.find_pids()) == {*before}
    assert not is_alive(after[CODE_SERVICE])


def test_a_new_client_key_restarts_the_gateway_alone(up_site: Site) -> None:
    before, old_key = up_site.find_pids(), up_site.keys["GATEWAY_KEY"]
    up_site.configure(GATEWAY_KEY="sk-another-key-that-is-long-enough-for-all")
    assert up_site.run_json("up")["started"] == [GATEWAY_SERVICE]
    assert list_changed(before, up_site.find_pids()) == {GATEWAY_SERVICE}
    with up_site.client() as client:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {old_key}"}).status_code == 401


def test_restart_of_one_service_leaves_the_others(up_site: Site) -> None:
    before = up_site.find_pids()
    up_site.run("restart", CHAT_SERVICE)
    assert list_changed(before, up_site.find_pids()) == {CHAT_SERVICE}
    assert CHAT_SERVICE in up_site.run("restart", "inference-chatt", code=3).stderr


def test_down_needs_no_readable_settings_and_leaves_nothing(up_site: Site) -> None:
    processes = up_site.list_processes()
    assert len(processes) >= 4
    text = (up_site.path / ".env").read_text()
    (up_site.path / ".env").write_text(f"{text}this is no setting\nCHAT_MODLE=x\n")
    try:
        assert up_site.run("up", code=3).stderr
        assert "is down" in up_site.run("down").stdout
    finally:
        (up_site.path / ".env").write_text(text)
    assert_nothing_is_left(up_site, processes)
    assert "was not running" in up_site.run("down").stdout


@pytest.mark.parametrize("setting", ["API_GATEWAY_PORT", "INFERENCE_PORT"])
def test_a_port_in_use_is_named_with_its_holder(make_site: MakeSite, setting: str) -> None:
    site = make_site()
    with socket.create_server(("127.0.0.1", int(site.settings[setting]))):
        done = site.run("up", code=3)
    assert setting in done.stderr
    assert site.settings[setting] in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert site.find_supervisor() == 0


def test_up_completes_what_a_killed_up_began(make_site: MakeSite) -> None:
    site = make_site()
    began = site.spawn("up")
    began.wait_text("waiting for")
    began.process.kill()
    began.process.wait()
    before = wait_for(site.find_pids, "services")
    site.run("up")
    assert site.find_pids() == before
    site.run("down")
