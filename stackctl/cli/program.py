"""A command as a process: what its streams are before it runs, and its exit code and last words after it failed."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

import click

from stackctl.cli.console import print_error
from stackctl.core.text.failures import decode_text, explain_failure
from stackctl.errors import StackError

INTERRUPTED = 130
_COMPLETION = "_STACKCTL_COMPLETE"


class OutputLost(OSError):
    """Standard output cannot be written: its disk is full, or its reader is gone."""


class _Output(FileIO):
    """Standard output that raises its own error when it fails: an OSError does not tell which file it is about."""

    def write(self, data: Any) -> int:
        """Write as any file does; raises ``OutputLost`` where that fails."""
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(error.errno, error.strerror, "Standard output") from error


def prepare_streams() -> None:
    """Set UTF-8 whatever the locale says, and open a standard stream in place of each that was closed."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1" and sys.executable:
        # Paths and names are of every language, and files are UTF-8: Python's mode for that is set at its start.
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Otherwise the next file that is opened would be the standard stream of every child.
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor == number:
                os.set_inheritable(number, True)  # what os.open opens, children do not get
            else:
                os.dup2(descriptor, number)
                os.close(descriptor)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good
    # Below it is the file, with a buffer between them or, by PYTHONUNBUFFERED, without.
    if isinstance(getattr(sys.stdout.buffer, "raw", sys.stdout.buffer), FileIO):
        raw = _Output(sys.stdout.fileno(), "w", closefd=False)
        # Names that are no text are shown escaped, as JSON takes them, too.
        sys.stdout = TextIOWrapper(BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=raw.isatty())


def read_standard_input() -> str:
    """All of standard input as text.

    Raises:
        ConfigError: the input is not UTF-8.
    """
    return decode_text(sys.stdin.buffer.read(), "Standard input")


def run_program(group: click.Group, *, debug: bool) -> int:
    """Run the command line that this process was given.

    Args:
        debug: let an error through, for its traceback.

    Returns:
        The exit code; what failed was printed.
    """
    try:
        try:
            code = _invoke(group)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        sys.stdout.flush()
    except BaseException as failure:
        if isinstance(failure, OutputLost):
            _drop_stream(1)
            if failure.errno == errno.EPIPE:  # the reader is gone, as with `| head`; nothing is wrong
                return 0
        if debug and isinstance(failure, Exception) and not isinstance(failure, click.ClickException | click.Abort):
            raise
        code = _report(failure)
    try:
        sys.stderr.flush()
    except OSError:
        _drop_stream(2)
    return code


def _drop_stream(descriptor: int) -> None:
    """Write what is left of a stream nowhere, or Python would fail on it once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _invoke(group: click.Group) -> int:
    """Parse and run; click's own ``main`` would take every broken connection for a reader that left."""
    if os.environ.get(_COMPLETION):
        from click.shell_completion import shell_complete

        return shell_complete(group, {}, "stackctl", _COMPLETION, os.environ[_COMPLETION])
    try:
        with group.make_context("stackctl", sys.argv[1:]) as context:
            group.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return 0


def _report(failure: BaseException) -> int:
    """Print what failed; the exit code for it."""
    if isinstance(failure, click.ClickException):
        with suppress(OSError):  # standard error may be full, too
            failure.show()
        return failure.exit_code
    if isinstance(failure, KeyboardInterrupt | click.Abort):
        with suppress(OSError):
            click.echo("interrupted", err=True)
        return INTERRUPTED
    error = _explain(failure)
    print_error(error)
    return error.exit_code


def _explain(failure: BaseException) -> StackError:
    if isinstance(failure, StackError):
        return failure
    known = explain_failure(failure) if isinstance(failure, Exception) else None
    bug = f"this is a bug: {type(failure).__name__}: {failure}"
    return known or StackError(bug, "run it again as 'stackctl --debug COMMAND'")
