"""aider in a terminal, answered by a real small model: the picture of a client in the README shows it."""

from __future__ import annotations

import os
import pty
import shlex
import struct
import subprocess
import termios
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import launch
from tests.clients.conftest import Programs
from tests.clients.environment import find_environment, find_path
from tests.clients.running import connect, show
from tests.integration.stack_site import Site
from tests.pictures import are_wanted, draw

PROGRAM = """\
def is_prime(n):
    if n < 2:
        return False
    return all(n % d for d in range(2, int(n ** 0.5) + 1))
"""
COMMAND = "aider primes.py --message 'What does is_prime do?'"
# A question needs no repository, and no map of one.
WAYS = {"AIDER_EDIT_FORMAT": "ask", "AIDER_GIT": "false", "AIDER_MAP_TOKENS": "0", "AIDER_STREAM": "false"}
COLUMNS, ROWS = 84, 40
PAGE = """<!doctype html><style>body { margin: 0; background: #111 } #terminal { display: inline-block; padding: 12px }
.scrollbar { display: none !important }</style><div id="terminal"></div>"""
# Draws all that was written on as many rows as it takes.
WRITE = """async ([text, cols, rows]) => {
  const looks = { fontSize: 14, lineHeight: 1.2, theme: { background: "#111" }, cursorInactiveStyle: "none" };
  const terminal = new Terminal({ cols, rows, ...looks });
  terminal.open(document.getElementById("terminal"));
  await new Promise((done) => terminal.write(text, done));
  terminal.resize(cols, terminal.buffer.active.cursorY + 1);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def run_in_terminal(argv: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """All that a program writes to a terminal, until it ends."""
    ours, its = pty.openpty()
    ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(argv, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its)
    os.close(its)
    written = b""
    while piece := _read(ours):
        written += piece
    os.close(ours)
    assert process.wait() == 0, written[-2000:]
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the program has ended
        return b""


@pytest.mark.client("aider")
def test_aider_answers_in_a_terminal(real_site: Site, programs: Programs, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "primes.py").write_text(PROGRAM, encoding="utf-8")
    connect(real_site, "aider", tmp_path)
    (tmp_path / ".aider.model.metadata.json").write_text(show(real_site, "aider").text, encoding="utf-8")
    environment = {"PATH": f"{programs('aider')}:{find_path()}", "HOME": str(tmp_path), "TERM": "xterm-256color"}
    argv = [*shlex.split(COMMAND), "--yes-always"]
    written = run_in_terminal(argv, work, environment | WAYS)
    assert "prime" in written.rpartition("Waiting for")[2]
    if are_wanted():
        draw_terminal(f"$ {COMMAND}\r\n{written}")


def draw_terminal(text: str) -> None:
    """Make the picture of what a terminal shows after this text."""
    xterm = find_environment("terminal") / "node_modules" / "@xterm" / "xterm"
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.set_content(PAGE)
        page.add_style_tag(path=xterm / "css" / "xterm.css")
        page.add_script_tag(path=xterm / "lib" / "xterm.js")
        page.evaluate(WRITE, [text, COLUMNS, ROWS])
        draw(page.locator("#terminal"), "client-aider")
        browser.close()
