"""The processes of one site's stack, found in the process table: whatever its socket and its files say.

In: a site's state folder. Out: its supervisors, and its services that outlived theirs. Reads ``/proc``; sends
signals only to what it found there. Where there is no ``/proc`` it finds nothing.

A supervisor is known by its command line and by its working folder, the state folder; a service by the folder
``scratch`` in it, or by that of an app's data. The kernel follows a folder that is moved, so a moved site's processes
are found where it is now.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stackctl.core.apps.app import DATA_FOLDER
from stackctl.core.stack.names import SUPERVISOR_FILE
from stackctl.errors import RuntimeFailure

SCRATCH: Final = "scratch"
STATE_FOLDER: Final = ".stack"
POLL_S: Final = 0.05
KILLED_S: Final = 10.0
_PROC: Final = "/proc"
_SUPERVISOR: Final = b"\0supervisor.supervisord\0-c\0"
_DELETED: Final = " (deleted)"


@dataclass(frozen=True, slots=True)
class SiteProcess:
    """One process of a site.

    Attributes:
        parent: process id of the parent.
        started: clock ticks of the kernel between boot and the process's start; with ``pid`` it names a process for
            good.
        config: path of the configuration that a supervisor was started with; empty for a service.
    """

    pid: int
    parent: int
    started: int
    config: str = ""


def has_process_table() -> bool:
    """Whether this system shows its processes where this module looks."""
    return os.path.exists(f"{_PROC}/self/cwd")  # noqa: PTH110


def find_site_processes(state_dir: Path, former: Path | None = None) -> tuple[SiteProcess, ...]:
    """Supervisors and services of this site that run now; supervisors first.

    Args:
        former: the state folder's path when the stack was started, if the site was moved since.
    """
    places = {str(path) for path in (state_dir, former) if path is not None}
    found = []
    for name in _list_names():
        process = _look(name, places)
        if process is not None:
            found.append(process)
    # Between fork and exec a supervisor's child looks like another supervisor.
    supervisors = {item.pid for item in found if item.config}
    found = [item for item in found if not (item.config and item.parent in supervisors)]
    return tuple(sorted(found, key=lambda item: (not item.config, item.pid)))


def find_folder(pid: int | str) -> str:
    """A process's working folder where it is now; also a folder that was removed.

    Raises:
        OSError: the process is another user's, or has ended.
    """
    return os.readlink(f"{_PROC}/{pid}/cwd").removesuffix(_DELETED)  # noqa: PTH115


def end_processes(find: Callable[[], tuple[SiteProcess, ...]], timeout_s: float) -> None:
    """End all processes that ``find`` finds: politely, and by force those that are left after ``timeout_s`` seconds.

    Services end with their supervisor, so only services that have none are told themselves.

    Raises:
        RuntimeFailure: a process is there even then; names the processes.
    """
    told: set[SiteProcess] = set()
    seen: set[SiteProcess] = set()
    deadline = time.monotonic() + timeout_s
    killed_at = 0.0
    # One that is just ending has no working folder any more, by which it is found, and still is there.
    while processes := find() or tuple(filter(_is_there, seen)):
        seen.update(processes)
        if killed_at and time.monotonic() - killed_at > KILLED_S:
            left = ", ".join(str(item.pid) for item in processes)
            raise RuntimeFailure(
                f"Processes of the stack cannot be ended: {left}.", f"look at them with 'ps -fp {left}'"
            )
        if not killed_at and time.monotonic() > deadline:
            killed_at = time.monotonic()
        supervisors = tuple(item for item in processes if item.config)
        for item in processes if killed_at else supervisors or processes:
            if killed_at or item not in told:
                _send(item, signal.SIGKILL if killed_at else signal.SIGTERM)
                told.add(item)
        time.sleep(POLL_S)


def _list_names() -> list[str]:
    try:
        return [name for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208 - four times as fast
    except OSError:
        return []


def _look(name: str, places: set[str]) -> SiteProcess | None:
    """The process if it is of a site at one of these places. Cheap questions come first: a host may have thousands."""
    try:
        folder = find_folder(name)
        in_scratch = _find_state(folder) in places
        config = "" if in_scratch else _find_config(_read(name, "cmdline"))
        home = folder if folder.endswith(f"/{STATE_FOLDER}") else str(Path(config).parent.parent)
        is_supervisor = bool(config) and home in places
        # A person's shell may be in that folder, too; the supervisor marks what it starts.
        is_service = in_scratch and b"\0SUPERVISOR_ENABLED=" in b"\0" + _read(name, "environ")
        if not is_supervisor and not is_service:
            return None
        state, parent, started = _read_stat(name)
    except (OSError, ValueError):  # another user's, or it ended
        return None
    return None if state in b"ZX" else SiteProcess(int(name), parent, started, config)


def _find_state(folder: str) -> str:
    """The state folder of a service that works in this folder: that of all services, or where an app keeps its data."""
    if folder.endswith(f"/{SCRATCH}"):
        return folder.removesuffix(f"/{SCRATCH}")
    state, kept, _ = folder.rpartition(f"/{DATA_FOLDER}/")
    return state if kept else ""


def _is_there(process: SiteProcess) -> bool:
    """Whether a process runs; one that only waits to be collected does not, nor does another of the same number."""
    try:
        state, _, started = _read_stat(str(process.pid))
    except OSError:
        return False
    return state not in b"ZX" and started == process.started


def _read_stat(name: str) -> tuple[bytes, int, int]:
    """State of a process, its parent's id, and when it was started."""
    state, parent, *rest = _read(name, "stat").rsplit(b")", 1)[-1].split()
    return state, int(parent), int(rest[17])


def _find_config(command: bytes) -> str:
    """The configuration that a supervisor's command line names."""
    _, marker, rest = command.partition(_SUPERVISOR)
    path = os.fsdecode(rest.partition(b"\0")[0])
    return path if marker and path.endswith(f"/{SUPERVISOR_FILE}") else ""


def _read(name: str, file: str) -> bytes:
    with open(f"{_PROC}/{name}/{file}", "rb") as opened:  # noqa: PTH123 - called for every process of the host
        return opened.read()


def _send(process: SiteProcess, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
