"""What a terminal is sent: tables that fit it, colours where they are wanted, and not one escape code where not."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress

import pytest

from stackctl.core.text.tables import measure_text
from tests.fakes import CHECKOUT
from tests.integration.conftest import MakeSite
from tests.integration.stack_site import STACKCTL, Site, clean_environment

ESCAPE = "\x1b"


def watch(site: Site, *arguments: str, columns: int = 80, environment: Mapping[str, str] | None = None) -> str:
    """Everything that a terminal of this width is sent by a command."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = {**clean_environment(), "TERM": "xterm-256color", **(environment or {})}
    for name in ("COLUMNS", "LINES", *(() if environment and "NO_COLOR" in environment else ("NO_COLOR",))):
        variables.pop(name, None)
    process = subprocess.Popen(
        [*STACKCTL, *arguments], cwd=site.path, env=variables, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    sent = b""
    with suppress(OSError):  # the terminal is gone when the command has ended
        while block := os.read(ours, 65_536):
            sent += block
    os.close(ours)
    process.wait(60)
    return sent.decode()


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("command", ["models", "models recommend", "doctor", "config"])
def test_a_table_fits_the_terminal(make_site: MakeSite, command: str, columns: int) -> None:
    site = make_site(EMBEDDING_MODEL="")
    sent = watch(site, *command.split(), columns=columns, environment={"NO_COLOR": "1"})
    lines = sent.replace("\r", "").split("\n")
    # Sentences below a table are the terminal's to break.
    told = ("fix ", "note  ", "For ", "  ", "Each ", "[", "warning")
    wide = [line for line in lines if measure_text(line) > columns and not line.startswith(told)]
    assert wide == []
    assert "model" in sent or "setting" in sent


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("command", ["doctor", "models verify", "chat hi", "up --dry-run", "config --json"])
def test_a_plain_terminal_gets_no_escape_code(make_site: MakeSite, command: str, environment: dict[str, str]) -> None:
    assert ESCAPE not in watch(make_site(), *command.split(), environment=environment)


def test_a_terminal_that_can_gets_colours(make_site: MakeSite) -> None:
    assert f"{ESCAPE}[32mok" in watch(make_site(), "doctor")


@pytest.mark.parametrize(("answer", "expected"), [(b"y\n", "True"), (b"n\n", "False"), (b"\n", "False")])
def test_a_question_is_asked_on_the_terminal_and_answered_there(answer: bytes, expected: str) -> None:
    code = (
        "from stackctl.cli.console import Progress; p = Progress(); p.report('step'); print(p.confirm('Build it now?'))"
    )
    environment = {**clean_environment(), "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    os.write(ours, answer)
    said, _ = process.communicate(timeout=60)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert said.decode().strip() == expected
    assert "Build it now? [y/N]:" in shown
    # Where nobody is at a terminal, nothing is asked, and what is piped in is no answer.
    done = subprocess.run(command, env=environment, input=answer, capture_output=True, check=False, timeout=60)
    assert (done.stdout.decode().strip(), b"Build it now?" in done.stderr) == ("False", False)
