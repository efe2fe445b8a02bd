"""A supervisor that does not start says which limit of this machine is in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.adapters.process import supervisor
from stackctl.core.stack.runtime import CompletedCommand
from tests.fakes import raised_by

FILES = "Error: The minimum number of file descriptors required to run this process is 1024"
PROCESSES = "Error: The minimum number of available processes required to run this program is 200"


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (FILES, "64 files may be open here", "ulimit -Hn"),
        (PROCESSES, "64 processes may run here", "ulimit -Hu"),
        ("Error: no such file", "Error: no such file", "stackctl doctor"),
    ],
)
def test_a_limit_that_is_too_low_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str, hint: str
) -> None:
    monkeypatch.setattr(supervisor, "run_command", lambda *_, **__: CompletedCommand((), 2, "", said))
    monkeypatch.setattr(supervisor, "getrlimit", lambda kind: (64, 64))
    error = raised_by(lambda: supervisor.Supervisor(tmp_path / "conf", tmp_path / "own" / "sock").start(tmp_path))
    assert message in error.message
    assert hint in error.hint


def test_a_folder_of_the_socket_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    socket = tmp_path / "no tmp" / "private" / "supervisor.sock"
    error = raised_by(lambda: supervisor.Supervisor(tmp_path / "conf", socket).start(tmp_path))
    assert f"{socket.parent} cannot be made for the supervisor's socket" in error.message
    assert "chmod 1777 /tmp" in error.hint
