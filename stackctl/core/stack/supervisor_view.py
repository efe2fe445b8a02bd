"""What the supervisor template shows: one ``Program`` for each service of the process runtime. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.stack.engine_start import GPU_LOG_VERBOSITY
from stackctl.core.stack.names import find_secrets, find_socket
from stackctl.core.text.sizes import parse_size_bytes

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings
    from stackctl.core.stack.stack import Service

# An engine that dies within this time never worked: supervisor waits longer before each further try, then gives
# up. One that dies later is started again at once.
START_S = 10


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised process.

    Attributes:
        command: command line in shell quoting, as supervisor reads it.
        stop_wait_s: seconds that the program has to end by itself after the signal.
    """

    name: str
    command: str
    log_file: str
    stop_wait_s: int
    stop_signal: str = "TERM"


@dataclass(frozen=True, slots=True)
class SupervisorView:
    """The values that the supervisor template is rendered with; all paths are absolute.

    Attributes:
        log_max_bytes: size at which a program's log is put aside.
        log_backups: number of files put aside that are kept.
    """

    socket: str
    pid_file: str
    log_file: str
    directory: str
    programs: tuple[Program, ...]
    log_max_bytes: int
    log_backups: int
    start_s: int = START_S


def build_supervisor_view(
    settings: Settings, services: tuple[Service, ...], state_dir: str, launcher: tuple[str, ...]
) -> SupervisorView:
    """Build the paths, command lines and environments of the programs.

    Args:
        launcher: command that adds a service's secrets and becomes it (``stackctl/programs/launch.py``).
    """
    return SupervisorView(
        socket=find_socket(state_dir),
        pid_file=f"{state_dir}/supervisord.pid",
        log_file=f"{state_dir}/logs/supervisord.log",
        directory=f"{state_dir}/scratch",
        programs=tuple(_build_program(service, state_dir, launcher) for service in services),
        log_max_bytes=parse_size_bytes(settings.log_max_size),
        log_backups=settings.log_max_files - 1,
    )


def _build_program(service: Service, state_dir: str, launcher: tuple[str, ...]) -> Program:
    # Whoever asks for another verbosity wants to see all of it.
    is_thinned = service.environment.get("LLAMA_ARG_LOG_VERBOSITY") == GPU_LOG_VERBOSITY
    # vLLM is several processes, and killing the first one leaves the others with the GPU's memory.
    outlives = service.model is not None and service.model.is_vllm
    start = write_start(service.arguments, service.environment, is_thinned=is_thinned, ends_orphans=outlives)
    words = (*launcher, find_secrets(state_dir), service.name, start)
    return Program(
        name=service.name,
        command=shlex.join(words),
        log_file=f"{state_dir}/logs/{service.name}.log",
        stop_wait_s=30 if service.model is None else 15,
        stop_signal=service.app.stop_signal if service.app else "TERM",
    )


def write_start(
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    is_thinned: bool = False,
    ends_orphans: bool = False,
) -> str:
    """Command line and environment as one word that supervisor's INI reader leaves as it is.

    Args:
        is_thinned: whether the program's log passes ``stackctl/programs/thin_log.py``.
        ends_orphans: whether the launcher first ends what an earlier start left behind.

    Supervisor's own ``environment=`` cannot hold every value: an apostrophe ends its quoting, `` ;`` and `` #``
    begin a comment, a newline ends the line. JSON with these characters escaped survives, and so does the value.
    """
    start = {"argv": arguments, "env": dict(sorted(environment.items()))}
    marks = {"thin_log": is_thinned, "end_orphans": ends_orphans}
    text = json.dumps(start | {name: True for name, is_set in marks.items() if is_set})
    return re.sub("[;#%']", lambda match: f"\\u{ord(match[0]):04x}", text)
