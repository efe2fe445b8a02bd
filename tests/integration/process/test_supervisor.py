"""The process runtime on a real supervisord, with programs that only sleep."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from supervisor.xmlrpc import Faults

from stackctl.adapters.machine.commands import run_command
from stackctl.adapters.process import supervisor
from stackctl.adapters.process.supervisor import Supervisor
from stackctl.core.stack.names import find_socket
from stackctl.core.stack.runtime import CompletedCommand, Phase
from stackctl.errors import RuntimeFailure
from tests.fakes import raised_by
from tests.processes import is_alive
from tests.sleeping_site import SERVICES, SleepingSite
from tests.waiting import wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SleepingSite]:
    site = SleepingSite(tmp_path / "a site")
    yield site
    site.runtime.stop(lambda line: None)


def test_start_changes_just_what_changed_and_stop_leaves_nothing(site: SleepingSite) -> None:
    assert site.runtime.list_states() == {}
    assert site.start() == set(SERVICES)
    before = site.list_pids()
    assert all(before.values())
    assert site.start() == set()
    assert site.list_pids() == before
    assert site.start(INFERENCE_THREADS=2) == {"inference-chat", "inference-embed"}
    assert site.start(INFERENCE_THREADS=2, GATEWAY_KEY="another-gateway-key") == {"api-gateway"}
    assert site.start(INFERENCE_THREADS=2, GATEWAY_KEY="another-gateway-key", EMBEDDING_MODEL="none") == {"api-gateway"}
    after = site.list_pids()
    assert set(after) == {"inference-chat", "api-gateway"}
    assert site.runtime.stop(lambda line: None)
    assert not any(map(is_alive, {*before.values(), *after.values()}))
    assert not site.runtime.stop(lambda line: None)
    assert not Path(find_socket(str(site.state_dir))).parent.exists()
    assert not (site.state_dir / "secrets.json").exists()


def test_a_killed_service_comes_back_and_its_death_is_told(site: SleepingSite) -> None:
    site.start()
    pid = site.list_pids()["inference-chat"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: site.list_pids()["inference-chat"] not in (0, pid), "another engine runs")
    wait_for(lambda: site.runtime.list_states()["inference-chat"].restarts == 1, "one restart is told")
    site.wait_until_asleep()
    state = site.runtime.list_states()["inference-chat"]
    assert state.phase in (Phase.RUNNING, Phase.STARTING)
    assert "SIGKILL" in state.detail


def test_restart_makes_a_new_process(site: SleepingSite) -> None:
    site.start()
    before = site.list_pids()
    site.runtime.restart(("api-gateway",), lambda line: None)
    wait_for(lambda: site.list_pids()["api-gateway"] not in (0, before["api-gateway"]), "another gateway runs")
    assert site.list_pids()["inference-chat"] == before["inference-chat"]
    site.wait_until_asleep()
    wait_for(lambda: "started" in site.runtime.read_log("api-gateway", 5), "its log")


def test_secrets_are_private_and_in_no_other_file_and_no_command_line(site: SleepingSite) -> None:
    site.start()
    files = [path for path in site.state_dir.rglob("*") if path.is_file()]
    assert [path.name for path in files if "planted" in path.read_text(errors="replace")] == ["secrets.json"]
    assert (site.state_dir / "secrets.json").stat().st_mode & 0o777 == 0o600
    for pid in site.list_pids().values():
        assert "planted" not in Path(f"/proc/{pid}/cmdline").read_text()


def test_a_socket_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "socket"
    folder.mkdir(mode=0o755)
    error = raised_by(lambda: Supervisor(tmp_path / "conf", folder / "supervisor.sock").start(tmp_path))
    assert isinstance(error, RuntimeFailure)
    assert str(folder) in error.message


def test_a_configuration_that_supervisord_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("[supervisord]\nlogfile=/nowhere/at/all.log\n")
    error = raised_by(lambda: Supervisor(tmp_path / "conf", tmp_path / "s" / "supervisor.sock").start(tmp_path))
    assert isinstance(error, RuntimeFailure)
    assert "/nowhere/at/all.log" in error.message


def test_a_password_of_a_proxy_is_in_no_argument_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Sequence[str]] = []

    def run(argv: Sequence[str], *rest: Any, **more: Any) -> CompletedCommand:
        ran.append(argv)
        return run_command(argv, *rest, **more)

    monkeypatch.setattr(supervisor, "run_command", run)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:planted@proxy.example:3128")
    (tmp_path / "conf").write_text("[supervisord]\nlogfile=/nowhere/at/all.log\n")
    raised_by(lambda: Supervisor(tmp_path / "conf", tmp_path / "s" / "supervisor.sock").start(tmp_path))
    assert len(ran) == 1
    assert "planted" not in repr(ran)


def test_fault_codes_are_the_library_s() -> None:
    assert (supervisor.ALREADY_STARTED, supervisor.NOT_RUNNING) == (Faults.ALREADY_STARTED, Faults.NOT_RUNNING)
