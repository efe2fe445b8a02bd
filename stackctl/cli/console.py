"""The only printer: results go to stdout, progress and errors to stderr; what others wrote controls no terminal.

In: text and values. Out: the process's two streams. Nothing else of stackctl prints.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackctl.core.text.printable import escape_controls
from stackctl.core.text.tables import GAP, layout_rows

if TYPE_CHECKING:
    from stackctl.errors import Finding, StackError

_COLOURS = {
    "ok": "green",
    "warning": "yellow",
    "loading": "yellow",
    "skipped": "bright_black",
    "failed": "red",
    "error": "red",
}
# Where nobody watches a terminal, a build's output is news this often at most.
QUIET_INTERVAL_S = 15.0


class Progress:
    """The step that is under way: on a terminal one line that is rewritten, elsewhere a line for each new step."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty() and not is_plain()
        self._lock = threading.Lock()
        self._step = ""
        self._printed_at = 0.0
        self._started_at = time.monotonic()

    def report(self, line: str) -> None:
        """Show a step, or news of a step as ``step: news``."""
        text = escape_controls(click.unstyle(line).strip())
        if not text or text.endswith(":"):  # an empty line of a program's output is no news
            return
        step, now = text.partition(": ")[0], time.monotonic()
        with self._lock, suppress(OSError):  # news that nobody can read stop no job
            if self._live:
                width = shutil.get_terminal_size().columns - 1
                sys.stderr.write(f"\r\033[K{f'[{now - self._started_at:4.0f} s] {text}'[:width]}")
                sys.stderr.flush()
            elif step != self._step or now - self._printed_at > QUIET_INTERVAL_S:
                sys.stderr.write(f"[{now - self._started_at:4.0f} s] {text}\n")
                self._printed_at = now
            self._step = step

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; the answer is no where there is no terminal to answer at."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        self.finish()
        return click.confirm(name_program(question), err=True)

    def finish(self) -> None:
        """Clear the live line, so that what follows stands alone."""
        if self._live:
            with suppress(OSError):
                sys.stderr.write("\r\033[K")
                sys.stderr.flush()


def name_program(text: str) -> str:
    """The text with ``stackctl`` as this user must type it: a checkout's is in its environment, not on PATH."""
    if shutil.which("stackctl") is not None:
        return text
    program = os.path.relpath(sys.argv[0])
    program = str(Path(sys.argv[0]).absolute()) if program.startswith("..") else program
    return re.sub(r"\bstackctl(?= [a-z-])", program, text) if Path(program).name == "stackctl" else text


def print_text(text: str = "") -> None:
    """Print a line of the result."""
    click.echo(escape_controls(name_program(text)))


def print_piece(text: str) -> None:
    """Print part of a line, at once."""
    click.echo(escape_controls(text), nl=False)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Print a result as JSON, for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns that fit the terminal; a cell that is a status is coloured there."""
    cells = [list(headers), *([escape_controls(str(cell)) for cell in row] for row in rows)]
    for number, (row, lines) in enumerate(zip(cells, layout_rows(cells, find_width()), strict=True)):
        for padded in lines:
            styled = [
                _style(text, fg=_COLOURS[cell]) if cell in _COLOURS else text
                for text, cell in zip(padded, row, strict=True)
            ]
            line = GAP.join(styled).rstrip()
            click.echo(_style(line, bold=True) if number == 0 else line)


def find_width() -> int:
    """Columns of the terminal; 0 where the output goes elsewhere and COLUMNS says nothing."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return 0


def is_plain() -> bool:
    """Whether the terminal is to be sent text alone, without one escape code."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def clear_screen() -> None:
    """Clear the screen and begin at its top, where stdout is a terminal that can do so."""
    if sys.stdout.isatty() and not is_plain():
        click.clear()


def _style(text: str, fg: str | None = None, *, bold: bool = False) -> str:
    return text if is_plain() else click.style(text, fg=fg, bold=bold or None)


def print_warnings(findings: Iterable[Finding]) -> None:
    """Print findings that stop nothing, on stderr."""
    for finding in findings:
        _print_news(finding.render_text(), _style("warning: ", fg="yellow"))
        if finding.hint:
            _print_news(f"  {name_program(finding.hint)}")


def print_error(error: StackError) -> None:
    """Print what failed, every finding with its next step, and one next step for all."""
    _print_news(error.message, _style("error: ", fg="red", bold=True))
    hints = {finding.hint for finding in error.findings}
    for finding in error.findings:
        _print_news(f"  {finding.render_text()}")
        if finding.hint and len(error.findings) > 1:
            _print_news(f"      {name_program(finding.hint)}")
    if error.hint and (len(error.findings) < 2 or error.hint not in hints):
        _print_news(name_program(error.hint), _style("next:  ", bold=True))


def print_note(text: str) -> None:
    """Print a remark that is no part of the result; commands in it are written as they are typed here."""
    _print_news(name_program(text))


def _print_news(text: str, styled: str = "") -> None:
    with suppress(OSError):  # as for progress: where standard error is full, the exit code is left
        click.echo(styled + escape_controls(text), err=True)
