"""The process runtime: the stack's services as supervised processes of this machine, without Docker.

In: a ``StartPlan``, or services' names. Out: states, answers and log lines. Does I/O: talks to supervisord, reads
``/proc`` and log files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackctl.adapters.files.log_files import LogTail, read_from_mark, read_tail
from stackctl.adapters.files.site_files import make_private, save_text
from stackctl.adapters.http.service_calls import fetch
from stackctl.adapters.machine.commands import run_command, stop_streams
from stackctl.adapters.machine.processes import is_frozen
from stackctl.adapters.process.site_processes import (
    SCRATCH,
    SiteProcess,
    end_processes,
    find_folder,
    find_site_processes,
    has_process_table,
)
from stackctl.adapters.process.supervisor import Supervisor, load_passed_environment, wait_until
from stackctl.core.access.offline_project import MODULE, STATE_VARIABLES
from stackctl.core.health.supervisor_log import Deaths, describe_end, parse_deaths
from stackctl.core.stack.names import GATEWAY, SUPERVISOR_FILE, find_secrets, find_socket
from stackctl.core.stack.runtime import Answer, CompletedCommand, Phase, ServiceState, StartPlan, read_probe
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from stackctl.core.apps.app import AppService
    from stackctl.core.machine.host import RuntimeName
    from stackctl.core.stack.stack import Service

STOP_TIMEOUT_S = 60.0
# One action on a database; a report over a million requests takes a few seconds.
ACTION_S = 120.0

_PHASES = {
    "RUNNING": Phase.RUNNING,
    "STARTING": Phase.STARTING,
    "BACKOFF": Phase.RESTARTING,
    "FATAL": Phase.FAILED,
    "EXITED": Phase.FAILED,
    "UNKNOWN": Phase.FAILED,
}


@dataclass(frozen=True, slots=True)
class Need:
    """A program that services need, and how it comes here.

    Attributes:
        title: what the progress line calls the program.
        install: installs the program; passes on what the installer prints.
        command: the command that installs it, for a person to read.
    """

    title: str
    is_there: Callable[[], bool]
    install: Callable[[Callable[[str], None]], None]
    command: str


class ProcessRuntime:
    """The supervised processes of one site.

    Args:
        state_dir: path of the site's state folder.
        rendered_dir: path of the folder with the rendered files.
        needs: programs that have to be installed before anything can start.
        former: the state folder's path when the stack was started, if the site was moved since.
    """

    name: RuntimeName = "process"

    def __init__(
        self, state_dir: Path, rendered_dir: Path, needs: tuple[Need, ...], former: Path | None = None
    ) -> None:
        self._state_dir = state_dir
        self._former = former
        self._config = rendered_dir / SUPERVISOR_FILE
        self._needs = needs
        self._socket = Path(find_socket(str(state_dir)))
        self._secrets = Path(find_secrets(str(state_dir)))
        self._supervisor = Supervisor(self._config, self._socket)

    def list_commands(self, plan: StartPlan) -> tuple[str, ...]:
        """The commands that ``start`` would run, for a dry run."""
        installs = [need.command for need in self._needs if not need.is_there()]
        start = [] if self._find_running() == self._supervisor else [f"supervisord -c {self._config}"]
        return (*installs, *(start or [f"supervisorctl -c {self._config} update"]))

    def prepare(self, plan: StartPlan, report: Callable[[str], None]) -> None:
        """Install the programs that are not there yet, side by side."""
        self._install([need for need in self._needs if not need.is_there()], report)

    def administer(self, plan: StartPlan, action: str, report: Callable[[str], None]) -> CompletedCommand:
        """Have the gateway's program do one action on the state, as a process that then ends.

        Args:
            action: JSON that the program reads on its standard input.

        Raises:
            RuntimeFailure: the gateway's environment cannot be installed.
        """
        self._install([need for need in self._needs if need.title == GATEWAY and not need.is_there()], report)
        for folder in (self._state_dir, self._state_dir / SCRATCH):
            make_private(folder)
        service = next(item for item in plan.services if item.name == GATEWAY)
        known = {**service.environment, **plan.secrets[GATEWAY]}
        # Of a proxy nothing is asked here.
        passed = {name: value for name, value in load_passed_environment().items() if "proxy" not in name.lower()}
        passed |= {name: known[name] for name in ("HOME", "PYTHONPATH", *STATE_VARIABLES) if name in known}
        argv = [service.arguments[0], "-P", "-m", MODULE]
        return run_command(argv, ACTION_S, passed, self._state_dir / SCRATCH, action, is_alone=True)

    def _install(self, missing: list[Need], report: Callable[[str], None]) -> None:
        if not missing:
            return

        def install(need: Need) -> None:
            report(f"installing {need.title}: once; the next start finds it")
            need.install(lambda line: report(f"installing {need.title}: {line}"))

        with ThreadPoolExecutor(len(missing)) as pool:
            jobs = [pool.submit(install, need) for need in missing]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                stop_streams()
                raise

    def start(self, plan: StartPlan, report: Callable[[str], None]) -> tuple[str, ...]:
        """Bring the processes to what the configuration says; names of those started or restarted."""
        before = self._load_secrets()
        for folder in (self._state_dir, self._state_dir / "logs", self._state_dir / SCRATCH):
            make_private(folder)
        save_text(self._secrets, json.dumps(plan.secrets, indent=1, sort_keys=True), mode=0o600)
        if self._find_running() != self._supervisor:
            end_processes(self._find_processes, STOP_TIMEOUT_S)
            self._refuse_foreign_supervisor()
            self._supervisor.start(self._state_dir)
            return tuple(service.name for service in plan.services)
        started = self._supervisor.apply_config()
        for state in self.list_states().values():
            if state.name in started:
                continue
            changed = before.get(state.name) != plan.secrets.get(state.name)
            if changed or state.phase in (Phase.FAILED, Phase.STOPPED):
                self._supervisor.restart(state.name)
            elif state.phase is Phase.PAUSED:
                report(f"{state.name} is paused; letting it go on")
                os.kill(state.pid, signal.SIGCONT)
            else:
                continue
            started.append(state.name)
        return tuple(started)

    def stop(self, report: Callable[[str], None]) -> bool:
        """End everything, also what no supervisor or socket leads to any more; whether anything was running."""
        processes = self._find_processes()
        answered = not has_process_table() and self._supervisor.shut_down()
        end_processes(self._find_processes, STOP_TIMEOUT_S)
        wait_until(lambda: not (answered and self._supervisor.find_pid()), STOP_TIMEOUT_S)
        for supervisor in {self._supervisor, *(_connect(item) for item in processes if item.config)}:
            if not supervisor.find_pid():  # that of a site which was moved away from here may hold the same place
                shutil.rmtree(supervisor.socket.parent, ignore_errors=True)
        self._secrets.unlink(missing_ok=True)
        return bool(processes or answered)

    def list_leftovers(self) -> tuple[int, ...]:
        """Ids of this site's processes when no supervisor of it answers: they are ending, or nothing leads to them."""
        return () if self._find_running() else tuple(item.pid for item in self._find_processes())

    def restart(self, names: tuple[str, ...], report: Callable[[str], None]) -> None:
        """Stop and start services; a health check tells when they are ready."""
        supervisor = self._find_running()
        if supervisor is None:
            raise RuntimeFailure("The stack is not running.", "run 'stackctl up'")
        for name in names:
            report(f"restarting {name}")
            supervisor.restart(name)

    def list_states(self) -> dict[str, ServiceState]:
        """What supervisor says of each service; empty when the stack is down."""
        supervisor = self._find_running()
        processes = supervisor.list_processes() if supervisor else []
        deaths = parse_deaths(read_tail(self._state_dir / "logs" / "supervisord.log", 500)) if processes else {}
        states = [_build_state(item, deaths.get(str(item["name"]))) for item in processes]
        return {state.name: state for state in sorted(states, key=lambda state: state.name)}

    def list_ports(self) -> frozenset[int]:
        """No ports: those of processes are found by their holders."""
        return frozenset()

    def fetch(self, service: Service, path: str, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        """Ask a service directly, as its neighbours would."""
        key = secrets.get(service.key_variable, "")
        return fetch(f"http://127.0.0.1:{service.port}{path}", key=key, timeout_s=timeout_s)

    def probe(self, service: Service, app: AppService, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        """Ask the service of an app by its probe, a process with the same variables."""
        variables = {**service.environment, **secrets}
        return read_probe(run_command(["/bin/sh", "-c", app.probe], timeout_s, variables))

    def read_log(self, service: str, lines: int) -> str:
        """The end of a service's log."""
        return read_tail(self.find_log(service), lines)

    def read_start_log(self, state: ServiceState) -> str:
        """The first lines that a service wrote since its start; empty when the log has turned over since."""
        return read_from_mark(self.find_log(state.name), f"launch: {state.name} starts as process {state.pid},")

    def explain_lost_gpu(self, service: str) -> str:
        """Nothing: a process reaches the driver as this one does, and this one asks the driver itself."""
        return ""

    def follow_logs(self, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None:
        """Pass on lines as they are written, until interrupted; a rotated file is followed into its successor."""
        tails = [LogTail(self.find_log(name), name, lines) for name in services]
        while True:
            for tail in tails:
                for line in tail.read_new():
                    write(tail.name, line)
            time.sleep(0.2)

    def find_log(self, service: str) -> Path:
        """Where a service's output goes."""
        return self._state_dir / "logs" / f"{service}.log"

    def _find_running(self) -> Supervisor | None:
        """The supervisor of this site that answers; None where none does."""
        for process in self._find_processes():
            supervisor = _connect(process) if process.config else self._supervisor
            if supervisor.find_pid() == process.pid:
                return supervisor
        return self._supervisor if not has_process_table() and self._supervisor.find_pid() else None

    def _refuse_foreign_supervisor(self) -> None:
        """Refuse where another site's supervisor answers: a site that is moved while it runs keeps its socket."""
        pid = self._supervisor.find_pid()
        if pid:
            site = Path(find_folder(pid)).parent
            raise RuntimeFailure(
                f"The stack of {site}, which was moved away from here, still runs (process {pid}).",
                f"run 'stackctl up' or 'stackctl down' in {site} first",
            )

    def _find_processes(self) -> tuple[SiteProcess, ...]:
        return find_site_processes(self._state_dir, self._former)

    def _load_secrets(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._secrets.read_text()))
        except (OSError, ValueError):
            return {}


def _connect(process: SiteProcess) -> Supervisor:
    """Connect to a supervisor by the configuration it was started with, which names its socket."""
    config = Path(process.config)
    return Supervisor(config, Path(find_socket(str(config.parent.parent))))


def _build_state(item: Mapping[str, Any], deaths: Deaths | None) -> ServiceState:
    phase = _PHASES.get(str(item["statename"]), Phase.STOPPED)
    # Supervisor calls a process starting for its first seconds, and one can be frozen in them.
    if phase in (Phase.RUNNING, Phase.STARTING) and item["pid"] and is_frozen(int(item["pid"])):
        phase = Phase.PAUSED
    uptime_s = float(item["now"] - item["start"]) if item["pid"] else 0.0
    detail = describe_end(str(item["spawnerr"] or ""), deaths)
    start = f"{item['pid']}@{item['start']}" if item["pid"] else ""
    restarts = deaths.count if deaths else 0
    return ServiceState(str(item["name"]), phase, detail, int(item["pid"]), uptime_s, restarts, start)
