"""Run other programs: argument lists in, finished commands out; never a shell.

In: argument lists. Out: finished commands. Each is a process group of its own: Ctrl-C reaches stackctl alone, which
then ends them in its own order. Otherwise the second Ctrl-C of an impatient hand would end the very command that cleans
up.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path

from stackctl.core.stack.runtime import CompletedCommand

# Programs that other threads are waiting for; an interrupt reaches the main thread alone.
_RUNNING: set[subprocess.Popen[str]] = set()
_STOPS: list[None] = []  # one for each time that they were all told to end

NOT_FOUND = 127
TIMED_OUT = 124


def find_program(name: str, folders: Sequence[str] = ()) -> str | None:
    """Path of a program on PATH, or in a folder that one of these glob patterns names; None where there is none."""
    places = [path for pattern in folders for path in sorted(glob(pattern), reverse=True)]  # noqa: PTH207
    return shutil.which(name) or (shutil.which(name, path=os.pathsep.join(places)) if places else None)


def run_command(
    argv: Sequence[str],
    timeout_s: float = 60.0,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    text: str = "",
    is_alone: bool = False,
) -> CompletedCommand:
    """Run a command to its end and keep what it prints; an absent program and a time-out are codes, not exceptions.

    Args:
        text: what it reads on its standard input.
        is_alone: whether it has the variables of ``environment`` and none of this process's own.
    """
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            input=text,
            env=dict(environment or {}) if is_alone else _merge(environment),
            cwd=folder,
            process_group=0,
        )
    except (FileNotFoundError, PermissionError) as error:
        return CompletedCommand(tuple(argv), NOT_FOUND, stderr=f"{error.filename}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return CompletedCommand(tuple(argv), TIMED_OUT, stderr=f"no end within {timeout_s:g} s")
    return CompletedCommand(tuple(argv), done.returncode, done.stdout, done.stderr)


def stream_command(
    argv: Sequence[str], on_line: Callable[[str], None], environment: Mapping[str, str] | None = None
) -> CompletedCommand:
    """Run a command to its end, passing on each line of stdout and stderr as it comes; no time limit.

    The last 200 lines are kept for an error message. An interrupt ends the program before it is raised on.
    """
    kept: list[str] = []
    try:
        process = subprocess.Popen(
            list(argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=_merge(environment),
            process_group=0,
        )
    except (FileNotFoundError, PermissionError) as error:
        return CompletedCommand(tuple(argv), NOT_FOUND, stderr=f"{error.filename}: {error.strerror}")
    _RUNNING.add(process)
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line.rstrip("\n"))
                kept = [*kept[-199:], line.rstrip("\n")]
        except BaseException:
            _send(process, signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                _send(process, signal.SIGKILL)
            raise
        finally:
            _RUNNING.discard(process)
    return CompletedCommand(tuple(argv), process.returncode, stderr="\n".join(kept))


def stop_streams() -> None:
    """End every program that ``stream_command`` runs now, in whatever thread: the job they belong to is over."""
    _STOPS.append(None)
    for process in tuple(_RUNNING):
        _send(process, signal.SIGTERM)


def count_stops() -> int:
    """How often ``stop_streams`` was called: a thread that waits gives up when this changes."""
    return len(_STOPS)


def _send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal a program with all that it started: compilers, plug-ins."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _merge(environment: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if environment is None else {**os.environ, **environment}
