"""The launcher: a service gets its own secrets and nobody else's, and ends when its supervisor does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import CHECKOUT
from tests.processes import is_alive

LAUNCHER = str(CHECKOUT / "stackctl" / "programs" / "launch.py")
TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


def build_argv(secrets: Path, service: str, *command: str) -> list[str]:
    start = json.dumps({"argv": command, "env": {"OWN": "한글"}})
    return [sys.executable, "-I", LAUNCHER, str(secrets), service, start]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.json"
    path.write_text(json.dumps({"chat": {"KEY": "planted-1"}, "gateway": {"OTHER": "planted-2"}}))
    return path


def test_a_service_gets_its_command_its_environment_and_its_own_secrets(secrets: Path) -> None:
    argv = build_argv(secrets, "chat", sys.executable, "-c", TELL, "a b", "$HOME")
    done = subprocess.run(argv, env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    arguments, environment = json.loads(done.stdout)
    assert arguments == ["a b", "$HOME"]
    assert {name: environment.get(name) for name in ("PATH", "OWN", "KEY", "OTHER")} == {
        "PATH": "/bin",
        "OWN": "한글",
        "KEY": "planted-1",
        "OTHER": None,
    }


def test_the_log_says_who_starts_as_which_process_and_when(secrets: Path) -> None:
    argv = build_argv(secrets, "chat", sys.executable, "-c", "import os; print(os.getpid())")
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    mark = rf"launch: chat starts as process {done.stdout.strip()}, \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{{4}}\n"
    assert re.fullmatch(mark, done.stderr)


def test_no_secret_stands_in_an_argument_list(secrets: Path) -> None:
    process = subprocess.Popen(build_argv(secrets, "chat", "sleep", "60"))
    try:
        command = wait_for(lambda: read_command(process.pid), lambda text: text.startswith("sleep"))
        assert "planted" not in command
    finally:
        process.kill()
        process.wait()


def test_a_log_that_says_too_much_passes_the_filter_and_the_command_keeps_its_place(secrets: Path) -> None:
    lines = "0.01 I srv init: listening on http://x\\n0.02 I slot release: id 1\\n0.03 W srv x: y\\n"
    tell = f"import os, sys; sys.stderr.write('{lines}'); print(os.getpid(), os.getppid(), flush=True); sys.exit(3)"
    start = json.dumps({"argv": [sys.executable, "-c", tell], "env": {}, "thin_log": True})
    argv = [sys.executable, "-I", LAUNCHER, str(secrets), "chat", start]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output, _ = process.communicate(timeout=30)  # ends: the filter ends with the command
    mark, listening, warning, numbers = output.splitlines()
    assert mark.startswith(f"launch: chat starts as process {process.pid},")
    assert (listening, warning) == ("0.01 I srv init: listening on http://x", "0.03 W srv x: y")
    assert numbers == f"{process.pid} {os.getpid()}"
    assert process.returncode == 3


def test_a_program_that_is_not_there_is_named(secrets: Path) -> None:
    argv = build_argv(secrets, "chat", "/nowhere/llama-server")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "launch: /nowhere/llama-server: No such file or directory"


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_a_service_ends_with_its_supervisor(secrets: Path) -> None:
    """However the supervisor dies: nothing is left without one."""
    argv = build_argv(secrets, "chat", "sleep", "60")
    parent = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); p.wait()"
    supervisor = subprocess.Popen([sys.executable, "-c", parent, *argv], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    try:
        wait_for(lambda: read_command(child), lambda text: text.startswith("sleep"))
        supervisor.send_signal(signal.SIGKILL)
        wait_for(lambda: read_command(child), lambda text: text == "")
    finally:
        supervisor.kill()
        supervisor.wait()
        supervisor.stdout.close()
        if read_command(child).startswith("sleep"):
            os.kill(child, signal.SIGKILL)


def read_command(pid: int) -> str:
    """A process's command line, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except FileNotFoundError:
        return ""


def wait_for(read: Callable[[], str], is_right: Callable[[str], bool]) -> str:
    """Read until it is right, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not is_right(text := read()):
        assert time.monotonic() < deadline, f"last seen: {text!r}"
        time.sleep(0.01)
    return text


# What supervisor does: each service in a process group of its own, all in one session and one folder.
SUPERVISE = """
import json, subprocess, sys

def start(folder):
    tell = "import subprocess, time; print(subprocess.Popen(['sleep', '300']).pid, flush=True); time.sleep(300)"
    command = [sys.executable, "-c", tell]
    process = subprocess.Popen(command, process_group=0, stdout=subprocess.PIPE, cwd=folder)
    return process, int(process.stdout.readline())

killed, orphan = start(".")
elsewhere, stranger = start("/")
alive, child = start(".")
for process in (killed, elsewhere):
    process.kill()
    process.wait()
done = subprocess.run(sys.argv[1:], process_group=0, capture_output=True, text=True)
print(json.dumps([orphan, stranger, child, alive.pid, done.stderr]))
"""


def test_what_an_earlier_start_left_behind_is_ended_first_and_nothing_else(secrets: Path, tmp_path: Path) -> None:
    start = json.dumps({"argv": [sys.executable, "-c", ""], "env": {}, "end_orphans": True})
    argv = [sys.executable, "-I", LAUNCHER, str(secrets), "chat", start]
    folder = tmp_path / "scratch"
    folder.mkdir()
    script = [sys.executable, "-c", SUPERVISE, *argv]
    # Not its stderr: those that live on keep that open.
    done = subprocess.run(script, cwd=folder, start_new_session=True, stdout=subprocess.PIPE, text=True, check=True)
    orphan, stranger, child, alive, said = json.loads(done.stdout)
    try:
        assert f"launch: ended what an earlier start left behind: {orphan}\n" in said
        assert [is_alive(pid) for pid in (orphan, stranger, child, alive)] == [False, True, True, True]
    finally:
        for pid in filter(is_alive, (stranger, child, alive)):
            os.kill(pid, signal.SIGKILL)
