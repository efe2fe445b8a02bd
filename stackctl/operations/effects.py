"""What operations may do to the world, as types: the command line passes adapters in, tests pass fakes.

``Effects`` has one field for each group that an operation can take by itself: folders, files, this machine, engines,
runtimes, the network, the person at the terminal, time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stackctl.core.access.replies import AdminReply
    from stackctl.core.apps.app import AppService
    from stackctl.core.engine.build import Build, Toolkit
    from stackctl.core.engine.choice import EngineForm
    from stackctl.core.engine.trial import EngineRecord, TrialResult
    from stackctl.core.health.doctor_input import FileFacts
    from stackctl.core.machine.gpu import GpuMemory
    from stackctl.core.machine.host import Host, RuntimeName
    from stackctl.core.machine.limits import Limits
    from stackctl.core.models.files import ModelFile
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.core.site.site_state import SiteState
    from stackctl.core.stack.runtime import Answer, ChatPiece, CompletedCommand, ServiceState, StartPlan
    from stackctl.core.stack.stack import Service

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders and programs that operations work with.

    Attributes:
        site: path of the site's folder.
        data_root: folder with the project's ``compose``, ``services`` and ``models``.
        cache_dir: folder that outlives sites: service environments and built engines.
        python: path of the interpreter that runs ``stackctl``.
        launcher: path of ``stackctl/programs/launch.py``; the other programs lie beside it.
    """

    site: Path
    data_root: Path
    cache_dir: Path
    python: str
    launcher: Path

    @property
    def state_dir(self) -> Path:
        """The site's state folder: rendered files, logs, sockets; never part of a bundle."""
        return self.site / ".stack"

    @property
    def rendered_dir(self) -> Path:
        """Path of the files that ``up`` starts the stack from."""
        return self.state_dir / "rendered"


@dataclass(frozen=True, slots=True)
class Given:
    """What was set for this one command.

    Attributes:
        environment: the process environment.
        flags: text given on the command line, by the setting's name in upper case.
    """

    environment: Mapping[str, str]
    flags: Mapping[str, str]


class Files(Protocol):
    """Files of a site and of the project. The adapters say what each method does."""

    def load_text(self, path: Path, *, is_exact: bool = False) -> str | None: ...
    def save_text(self, path: Path, text: str, mode: int) -> bool: ...
    def remove_file(self, path: Path) -> None: ...
    def is_link(self, path: Path) -> bool: ...
    def find_real(self, path: Path) -> Path: ...
    def is_same_file(self, one: Path, other: Path) -> bool: ...
    def load_facts(self, path: Path, head_bytes: int = 0) -> FileFacts: ...
    def load_model_files(self, path: Path) -> tuple[ModelFile, ...]: ...
    def hash_folder(self, path: Path) -> str: ...
    def hold_lock(self, path: Path) -> AbstractContextManager[None]: ...


class Machine(Protocol):
    """This machine. The adapters say what each method does.

    ``load_host`` asks Docker, too, where that is wanted: it takes 0.3 s. ``hold_interrupts`` lets no signal interrupt
    what runs while it is entered. ``find_program`` looks on PATH, and in the folders that glob patterns name. Where
    they are not known, ``load_memory_bytes`` is 0, and ``load_resident_bytes`` (of a process and those below it) and
    ``load_cpu_features`` are ``None``.
    """

    def load_host(self, with_docker: bool) -> Host: ...
    def load_memory_bytes(self) -> int: ...
    def load_limits(self) -> Limits: ...
    def load_gpu_memory(self) -> GpuMemory: ...
    def load_cpu_features(self) -> frozenset[str] | None: ...
    def load_resident_bytes(self, pid: int) -> int | None: ...
    def list_ancestors(self, pid: int) -> tuple[int, ...]: ...
    def find_program(self, name: str, folders: Sequence[str] = ()) -> str | None: ...
    def hold_interrupts(self) -> AbstractContextManager[None]: ...
    def make_key(self) -> str: ...


class Runtime(Protocol):
    """Where services run: containers or processes. The adapters say what each method does."""

    @property
    def name(self) -> RuntimeName: ...
    def list_commands(self, plan: StartPlan) -> tuple[str, ...]: ...
    def prepare(self, plan: StartPlan, report: Report) -> None: ...
    def start(self, plan: StartPlan, report: Report) -> tuple[str, ...]: ...
    def administer(self, plan: StartPlan, action: str, report: Report) -> CompletedCommand: ...
    def stop(self, report: Report) -> bool: ...
    def restart(self, names: tuple[str, ...], report: Report) -> None: ...
    def list_leftovers(self) -> tuple[int, ...]: ...
    def list_states(self) -> dict[str, ServiceState]: ...
    def list_ports(self) -> frozenset[int]: ...
    def fetch(self, service: Service, path: str, secrets: Mapping[str, str], timeout_s: float) -> Answer: ...
    def probe(self, service: Service, app: AppService, secrets: Mapping[str, str], timeout_s: float) -> Answer: ...
    def read_log(self, service: str, lines: int) -> str: ...
    def read_start_log(self, state: ServiceState) -> str: ...
    def explain_lost_gpu(self, service: str) -> str: ...
    def follow_logs(self, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None: ...


class Engines(Protocol):
    """What this machine has and knows of engines, and of the environments that services run in."""

    def find_environment(self, lock: Path, variables: Mapping[str, str]) -> Path: ...
    def find_build(self, build: Build) -> Path: ...
    def list_gpu_builds(self) -> tuple[Build, ...]: ...
    def has_device(self, kind: str) -> bool: ...
    def load_toolkit(self, kind: str) -> Toolkit: ...
    def make(self, file: Path, build: Build, index_url: str, on_line: Report) -> None: ...
    def load_record(self, form: EngineForm, gpu: bool) -> EngineRecord | None: ...
    def save_record(self, form: EngineForm, gpu: bool, record: EngineRecord, lasting: bool) -> None: ...
    def forget_record(self, form: EngineForm, gpu: bool) -> None: ...
    def ask(self, command: Sequence[str], environment: Mapping[str, str]) -> TrialResult: ...


class Runtimes(Protocol):
    """Both runtimes of this site.

    ``make`` gives the runtime that can start the site's stack with this GPU; ``find`` that of a started stack, to look
    at it or to stop it, whatever its files say now; ``find_forgotten`` those in which something of this site runs, for
    when no state says so.
    """

    def make(self, name: str, loaded: LoadedSite, gpu: str) -> Runtime: ...
    def find(self, state: SiteState) -> Runtime: ...
    def find_forgotten(self, name: str) -> tuple[Runtime, ...]: ...


class Network(Protocol):
    """HTTP to services of this stack: one question and its answer, a chat as it is written, an action of the gateway.

    ``post_action`` gives ``None`` where nothing listens.
    """

    def fetch(
        self,
        url: str,
        *,
        key: str = "",
        timeout_s: float = 5.0,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer: ...
    def stream_chat(self, url: str, key: str, body: Mapping[str, object], timeout_s: float) -> Iterator[ChatPiece]: ...
    def post_action(self, url: str, key: str, action: Mapping[str, object], timeout_s: float) -> AdminReply | None: ...


class Terminal(Protocol):
    """Whoever started the command: progress on stderr, and a question with yes or no; no where nobody can answer.

    ``finish`` takes away the progress that is shown, so that something else can be.
    """

    def report(self, text: str, /) -> None: ...
    def finish(self) -> None: ...
    def confirm(self, question: str, /) -> bool: ...


class Clock(Protocol):
    """Time in seconds, from an unknown beginning; and the date, with its zone, as this machine's clock has it."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...
    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything an operation reads or changes, and where."""

    paths: Paths
    given: Given
    files: Files
    machine: Machine
    engines: Engines
    runtimes: Runtimes
    network: Network
    terminal: Terminal
    clock: Clock
