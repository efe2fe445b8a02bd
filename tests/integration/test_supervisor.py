"""The process runtime on a real supervisord, with programs that only sleep."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from supervisor.xmlrpc import Faults

from stackctl.adapters import supervisor
from stackctl.adapters.process_runtime import ProcessRuntime
from stackctl.adapters.supervisor import Supervisor
from stackctl.core.runtime import Phase, StartPlan
from stackctl.core.supervisor_view import find_socket
from stackctl.errors import RuntimeFailure
from stackctl.operations.site import build_plan, load_site, render_site
from tests.fakes import CHECKOUT, World, raised_by, write_env

SERVICES = ("inference-chat", "inference-embed", "api-gateway")


class SleepingSite:
    """A site whose services sleep, on disk where supervisord needs it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(site=folder)
        self.world.python = sys.executable
        self.world.launcher = CHECKOUT / "stackctl" / "launch.py"
        self.world.service_environments = folder / "envs"
        self.state_dir = self.world.effects.state_dir
        self.rendered_dir = self.world.effects.rendered_dir
        self.runtime = ProcessRuntime(self.state_dir, self.rendered_dir, ())

    def plan(self, **env: object) -> StartPlan:
        """A plan for these settings, its configuration written."""
        self.world.files[self.world.site / ".env"] = write_env(**env)
        effects = self.world.effects
        loaded = load_site(effects)
        rendered = render_site(effects, loaded)
        self.rendered_dir.mkdir(parents=True, exist_ok=True)
        for name, text in rendered.files.items():
            (self.rendered_dir / name).write_text(text, encoding="utf-8")
        for service in rendered.process_services:
            program = Path(service.arguments[0])
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\necho started\nexec sleep 600\n")
            program.chmod(0o755)
        return build_plan(effects, loaded, rendered, "process", "none")

    def start(self, **env: object) -> set[str]:
        """Bring the processes to these settings; names of those started, all of them asleep by now."""
        started = set(self.runtime.start(self.plan(**env), lambda line: None))
        self.wait_until_asleep()
        return started

    def wait_until_asleep(self) -> None:
        """supervisord loses a SIGTERM to a child that is not yet its program, and would kill it only after 15 s."""
        wait_for(lambda: all(map(is_asleep, self.list_pids().values())))

    def list_pids(self) -> dict[str, int]:
        return {state.name: state.pid for state in self.runtime.list_states().values()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SleepingSite]:
    site = SleepingSite(tmp_path / "a site")
    yield site
    site.runtime.stop(lambda line: None)


def wait_for(condition: Callable[[], bool]) -> None:
    """Ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_asleep(pid: int) -> bool:
    return pid > 0 and is_alive(pid) and Path(f"/proc/{pid}/cmdline").read_text().startswith("sleep")


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_start_changes_just_what_changed_and_stop_leaves_nothing(site: SleepingSite) -> None:
    assert site.runtime.list_states() == {}
    assert site.start() == set(SERVICES)
    before = site.list_pids()
    assert all(before.values())
    assert site.start() == set()
    assert site.list_pids() == before
    assert site.start(INFERENCE_THREADS=2) == {"inference-chat", "inference-embed"}
    assert site.start(INFERENCE_THREADS=2, GATEWAY_KEY="another") == {"api-gateway"}
    assert site.start(INFERENCE_THREADS=2, GATEWAY_KEY="another", EMBEDDING_MODEL="none") == {"api-gateway"}
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
    wait_for(lambda: site.list_pids()["inference-chat"] not in (0, pid))
    wait_for(lambda: site.runtime.list_states()["inference-chat"].restarts == 1)
    site.wait_until_asleep()
    state = site.runtime.list_states()["inference-chat"]
    assert state.phase in (Phase.RUNNING, Phase.STARTING)
    assert "SIGKILL" in state.detail


def test_restart_makes_a_new_process(site: SleepingSite) -> None:
    site.start()
    before = site.list_pids()
    site.runtime.restart(("api-gateway",), lambda line: None)
    wait_for(lambda: site.list_pids()["api-gateway"] not in (0, before["api-gateway"]))
    assert site.list_pids()["inference-chat"] == before["inference-chat"]
    site.wait_until_asleep()
    wait_for(lambda: "started" in site.runtime.read_log("api-gateway", 5))


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
    error = raised_by(Supervisor(tmp_path / "conf", folder / "supervisor.sock").start)
    assert isinstance(error, RuntimeFailure)
    assert str(folder) in error.message


def test_a_configuration_that_supervisord_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("[supervisord]\nlogfile=/nowhere/at/all.log\n")
    error = raised_by(Supervisor(tmp_path / "conf", tmp_path / "s" / "supervisor.sock").start)
    assert isinstance(error, RuntimeFailure)
    assert "/nowhere/at/all.log" in error.message


def test_fault_codes_are_the_library_s() -> None:
    assert (supervisor.ALREADY_STARTED, supervisor.NOT_RUNNING) == (Faults.ALREADY_STARTED, Faults.NOT_RUNNING)
