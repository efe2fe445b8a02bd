"""A site's processes are found and ended whatever leads to them: no socket, no supervisor, a folder that moved."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.adapters.process import process_runtime, supervisor
from stackctl.adapters.process.process_runtime import ProcessRuntime
from stackctl.adapters.process.site_processes import find_site_processes
from stackctl.core.stack.names import find_socket
from tests.fakes import raised_by
from tests.processes import is_alive
from tests.sleeping_site import SERVICES, SleepingSite
from tests.waiting import wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SleepingSite]:
    """A running one."""
    site = SleepingSite(tmp_path / "a site")
    site.start()
    yield site
    site.runtime.stop(lambda line: None)


def find_all(site: SleepingSite) -> list[int]:
    """Process ids of its supervisors and services."""
    return [item.pid for item in find_site_processes(site.state_dir)]


def find_supervisor(site: SleepingSite) -> int:
    (found,) = (item.pid for item in find_site_processes(site.state_dir) if item.config)
    return found


def make_deaf(site: SleepingSite) -> None:
    """Have its services ignore SIGTERM from their next start on."""
    for program in (site.world.site / "envs").rglob("*"):
        if program.is_file():
            program.write_text("#!/bin/sh\ntrap '' TERM\nexec sleep 600\n")


def stop(runtime: ProcessRuntime) -> bool:
    return runtime.stop(lambda line: None)


def test_all_of_a_site_is_found_and_nothing_else(site: SleepingSite, tmp_path: Path) -> None:
    assert find_all(site) == [find_supervisor(site), *sorted(site.list_pids().values())]
    assert find_site_processes(tmp_path / "another" / ".stack") == ()


@pytest.mark.parametrize("lost", ["the socket", "the socket's folder", "the state folder"])
def test_a_supervisor_to_which_no_socket_leads_is_replaced(site: SleepingSite, lost: str) -> None:
    before = find_all(site)
    socket = Path(find_socket(str(site.state_dir)))
    if lost == "the socket":
        socket.unlink()
    else:
        shutil.rmtree(socket.parent if lost == "the socket's folder" else site.state_dir)
        shutil.rmtree(socket.parent, ignore_errors=True)
    assert site.runtime.list_states() == {}
    assert site.runtime.list_leftovers() == tuple(before)
    assert site.start() == set(SERVICES)
    assert not any(map(is_alive, before))
    assert len(find_all(site)) == len(before)


def test_stop_ends_a_supervisor_to_which_no_socket_leads(site: SleepingSite) -> None:
    before = find_all(site)
    shutil.rmtree(Path(find_socket(str(site.state_dir))).parent)
    assert stop(site.runtime)
    assert not any(map(is_alive, before))
    assert not stop(site.runtime)


def test_services_that_outlive_their_supervisor_are_ended(site: SleepingSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_runtime, "STOP_TIMEOUT_S", 0.5)
    make_deaf(site)
    site.runtime.restart(SERVICES, lambda line: None)
    site.wait_until_asleep()
    services = sorted(site.list_pids().values())
    os.kill(find_supervisor(site), signal.SIGKILL)
    wait_for(lambda: find_all(site) == services, "the services alone are left")
    assert site.runtime.list_leftovers() == tuple(services)
    assert stop(site.runtime)
    assert not any(map(is_alive, services))


def test_a_start_waits_for_the_supervisor_that_is_going(site: SleepingSite) -> None:
    make_deaf(site)
    site.runtime.restart(SERVICES, lambda line: None)
    site.wait_until_asleep()
    going, services = find_supervisor(site), site.list_pids().values()
    os.kill(going, signal.SIGTERM)
    wait_for(lambda: site.runtime.list_states() == {}, "the supervisor answers no more")
    assert going in site.runtime.list_leftovers()
    for pid in services:  # or it would wait for each as long as its configuration says
        os.kill(pid, signal.SIGKILL)
    assert site.start() == set(SERVICES)
    assert find_supervisor(site) != going


def test_a_supervisor_that_hangs_is_said_to_be_there_and_ended(
    site: SleepingSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.Supervisor.call, "__kwdefaults__", {"timeout_s": 0.5})
    monkeypatch.setattr(process_runtime, "STOP_TIMEOUT_S", 0.5)
    before = find_all(site)
    os.kill(before[0], signal.SIGSTOP)
    assert site.runtime.list_states() == {}
    assert site.runtime.list_leftovers() == tuple(before)
    assert stop(site.runtime)
    assert not any(map(is_alive, before))


def test_a_shell_in_the_scratch_folder_is_not_the_sites(site: SleepingSite) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=site.state_dir / "scratch") as shell:
        assert shell.pid not in find_all(site)
        stop(site.runtime)
        assert shell.poll() is None
        shell.kill()


def test_a_moved_site_is_found_where_it_is_now_and_not_where_it_was(site: SleepingSite, tmp_path: Path) -> None:
    before, pids = site.list_pids(), find_all(site)
    (tmp_path / "a site").rename(tmp_path / "moved")
    state_dir = tmp_path / "moved" / ".stack"
    moved = ProcessRuntime(state_dir, state_dir / "rendered", ())
    assert {state.name: state.pid for state in moved.list_states().values()} == before
    assert site.runtime.list_states() == {}
    assert not stop(site.runtime)
    (tmp_path / "a site" / ".stack").mkdir(parents=True)
    assert site.runtime.list_states() == {}, "a new site in its place has started nothing"
    assert not stop(site.runtime)
    assert all(map(is_alive, pids))
    refused = raised_by(site.start)
    assert f"The stack of {tmp_path / 'moved'}, which was moved away from here" in refused.message
    assert stop(moved)
    assert not any(map(is_alive, pids))


def test_a_site_that_moved_to_another_disk_is_found_by_its_former_place(site: SleepingSite, tmp_path: Path) -> None:
    before, pids = site.list_pids(), find_all(site)
    shutil.copytree(tmp_path / "a site", tmp_path / "moved", symlinks=True)
    shutil.rmtree(tmp_path / "a site")
    state_dir = tmp_path / "moved" / ".stack"
    moved = ProcessRuntime(state_dir, state_dir / "rendered", (), site.state_dir)
    assert {state.name: state.pid for state in moved.list_states().values()} == before
    assert stop(moved)
    assert not any(map(is_alive, pids))
