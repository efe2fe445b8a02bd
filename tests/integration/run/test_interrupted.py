"""Impatient hands: ``up`` interrupted or killed at any moment, again and again, leaves a site that can go on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackctl.adapters.process.site_processes import find_site_processes
from tests.integration.conftest import MakeSite
from tests.integration.stack_site import DEADLINE_S, Site, clean_environment
from tests.ports import is_free

STEP_S = 0.02


def find_all(site: Site) -> list[int]:
    """Process ids of everything that the site started."""
    return [item.pid for item in find_site_processes(site.state)]


def count_services(site: Site) -> int:
    return sum(not item.config for item in find_site_processes(site.state))


# What is there when a signal strikes, in the order in which it comes.
MOMENTS: dict[str, Callable[[Site], object]] = {
    "the files are rendered": lambda site: (site.state / "rendered" / "supervisord.p1.conf").exists(),
    "the supervisor begins": lambda site: find_all(site),
    "the supervisor is in the background": lambda site: (site.state / "supervisord.pid").exists(),
    "all services run": lambda site: count_services(site) > 2,
}


@pytest.fixture
def site(worn_site: Site) -> Iterator[Site]:
    """A site as after ``init``, stopped again whatever a test leaves."""
    worn_site.run("down")
    for name in ("state.json", "supervisord.pid", "lock"):
        (worn_site.state / name).unlink(missing_ok=True)
    (worn_site.state / "rendered" / "supervisord.p1.conf").unlink(missing_ok=True)
    yield worn_site
    worn_site.stop()


def wait_moment(site: Site, moment: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not MOMENTS[moment](site):
        assert time.monotonic() < deadline, moment
        time.sleep(STEP_S)


def assert_stopped(site: Site) -> None:
    assert find_all(site) == []
    assert not site.socket_folder.exists()
    assert not (site.state / "secrets.json").exists()
    assert site.run_json("status")["running"] is False
    first = int(site.settings["INFERENCE_PORT"])
    assert all(map(is_free, (int(site.settings["API_GATEWAY_PORT"]), first, first + 2)))


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_again_and_again_leaves_nothing(site: Site, moment: str) -> None:
    up = site.spawn("up")
    wait_moment(site, moment)
    deadline = time.monotonic() + DEADLINE_S
    while up.process.poll() is None:
        assert time.monotonic() < deadline, up.read()
        up.process.send_signal(signal.SIGINT)
        time.sleep(STEP_S)
    assert up.process.returncode == 130, up.read()
    assert up.read().rstrip().endswith("interrupted")
    assert_stopped(site)
    assert "was not running" in site.run("down").stdout


@pytest.mark.parametrize("moment", ["the supervisor begins", "all services run"])
def test_down_ends_what_a_killed_up_left(site: Site, moment: str) -> None:
    up = site.spawn("up")
    wait_moment(site, moment)
    up.process.kill()
    up.process.wait()
    assert "is down" in site.run("down").stdout
    assert_stopped(site)


def test_an_interrupted_clean_up_that_was_killed_is_completed_by_the_next_up(site: Site) -> None:
    """The worst that hands can do: Ctrl-C, then Ctrl-\\ or kill while the stack is stopping."""
    up = site.spawn("up")
    up.wait_text("waiting for")
    up.process.send_signal(signal.SIGINT)
    up.wait_text("stopping what was started")
    up.process.kill()
    up.process.wait()
    left = find_all(site)
    site.run("up")
    assert site.wait_healthy()
    assert not set(left) & set(find_all(site)) or site.list_processes() == find_all(site)
    site.run("down")
    assert_stopped(site)


def test_without_its_state_a_stack_is_told_of_and_ended(site: Site) -> None:
    site.run("up")
    (site.state / "state.json").unlink()
    status = site.run("status")
    assert "stackctl down" in status.stderr
    assert str(find_all(site)[-1]) in status.stderr
    assert "is down" in site.run("down").stdout
    assert_stopped(site)


def test_ctrl_c_twice_at_a_terminal_ends_everything(site: Site) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.path)
        os.execve(site.command[0], [*site.command, "up"], clean_environment(TERM="dumb"))
    seen = read_until(terminal, b"waiting for")
    os.write(terminal, b"\x03")
    seen += read_until(terminal, b"stopping what was started")
    os.write(terminal, b"\x03")
    seen += read_until(terminal, b"interrupted")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    os.close(terminal)
    assert b"still stopping" in seen
    assert_stopped(site)


def test_a_terminal_that_is_closed_is_an_interruption(site: Site) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(site.path)
        os.execve(site.command[0], [*site.command, "up"], clean_environment())
    read_until(terminal, b"waiting for")
    os.close(terminal)
    os.waitpid(pid, 0)
    assert_stopped(site)


def test_an_interrupted_command_waits_for_no_thread() -> None:
    """Health asks side by side, and an answer may take a minute."""
    script = (
        "import stackctl.cli.main as m, threading\n"
        "m.run_program = lambda *a, **k: threading.Thread(target=threading.Event().wait).start() or 130\n"
        "m.main()\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 130


def read_until(terminal: int, part: bytes) -> bytes:
    seen = b""
    while part not in seen:
        seen += os.read(terminal, 65_536)
    return seen


def test_a_site_that_moves_while_it_runs_goes_on_where_it_is(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    site.run("up")
    before, original = site.find_pids(), site.path
    site.path = original.rename(tmp_path / "moved")
    for command in ("status", "health"):
        told = site.run(command).stderr
        assert f"moved here from {original}" in told
        assert "stackctl up" in told
    assert site.find_pids() == before
    assert f"moved here from {original}" in site.run("up").stderr
    after = site.find_pids()
    assert not set(after.values()) & set(before.values())
    assert site.run("status").stderr == ""
    site.path = site.path.rename(tmp_path / "again")
    assert "is down" in site.run("down").stdout
    assert_stopped(site)
