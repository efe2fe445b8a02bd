"""What becomes of a rehearsal's containers when the command that started them is killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_for

PROGRAM = """
import sys
from pathlib import Path
from stackctl.adapters.docker.image_events import remove_if_killed
with remove_if_killed("x-prove", Path(sys.argv[1]), 0):
    print("ready", flush=True)
    sys.stdin.readline()
"""
# Stands for the docker command: keeps what it was asked for.
DOCKER = """#!/bin/sh
echo "$*" >> "$0.calls"
"""


class Rehearsal:
    """A program that has containers, and a docker command that removes them."""

    def __init__(self, folder: Path) -> None:
        self.docker, self.lock = folder / "docker", folder / "lock"
        self.docker.write_text(DOCKER)
        self.docker.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.lock)],
            env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def is_guarded(self) -> bool:
        """Whether a guard still waits or works."""
        return subprocess.run(["pgrep", "--full", str(self.lock)], capture_output=True, check=False).returncode == 0

    @property
    def calls(self) -> str:
        """What docker was asked for."""
        calls = Path(f"{self.docker}.calls")
        return calls.read_text() if calls.exists() else ""

    def kill(self) -> None:
        """End it with SIGKILL, and wait for what then happens."""
        self.process.kill()
        self.process.communicate()
        wait_for(lambda: not self.is_guarded(), "the guard has ended")


@pytest.fixture
def rehearsal(tmp_path: Path) -> Rehearsal:
    return Rehearsal(tmp_path)


def test_killed_it_leaves_no_containers(rehearsal: Rehearsal) -> None:
    rehearsal.kill()
    assert rehearsal.calls == "compose --project-name x-prove down --remove-orphans --volumes\n"


def test_at_its_ordinary_end_nothing_is_removed_behind_its_back(rehearsal: Rehearsal) -> None:
    rehearsal.process.communicate("over\n")
    assert rehearsal.process.returncode == 0
    assert not rehearsal.is_guarded()
    assert rehearsal.calls == ""


def test_another_rehearsal_that_has_begun_meanwhile_is_left_alone(rehearsal: Rehearsal) -> None:
    with rehearsal.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        rehearsal.kill()
    assert rehearsal.calls == ""
