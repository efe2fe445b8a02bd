"""What operations may do to the world, as types: the command line passes adapters in, tests pass fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stackctl.core.engine.build import Build, Toolkit
    from stackctl.core.engine.choice import EngineForm
    from stackctl.core.engine.trial import EngineRecord, TrialResult
    from stackctl.core.health.doctor_input import FileFacts
    from stackctl.core.machine.gpu import GpuMemory
    from stackctl.core.machine.host import Host, RuntimeName
    from stackctl.core.models.files import ModelFile
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.core.site.site_state import SiteState
    from stackctl.core.stack.runtime import Answer, ChatPiece, ServiceState, StartPlan
    from stackctl.core.stack.stack import Service

Report = Callable[[str], None]


class Runtime(Protocol):
    """Where services run: containers or processes. The adapters say what each method does."""

    @property
    def name(self) -> RuntimeName: ...
    def list_commands(self, plan: StartPlan) -> tuple[str, ...]: ...
    def prepare(self, plan: StartPlan, report: Report) -> None: ...
    def start(self, plan: StartPlan, report: Report) -> tuple[str, ...]: ...
    def stop(self, report: Report) -> bool: ...
    def restart(self, names: tuple[str, ...], report: Report) -> None: ...
    def list_leftovers(self) -> tuple[int, ...]: ...
    def list_states(self) -> dict[str, ServiceState]: ...
    def list_ports(self) -> frozenset[int]: ...
    def fetch(self, service: Service, path: str, secrets: Mapping[str, str], timeout_s: float) -> Answer: ...
    def read_log(self, service: str, lines: int) -> str: ...
    def read_start_log(self, state: ServiceState) -> str: ...
    def explain_lost_gpu(self, service: str) -> str: ...
    def follow_logs(self, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None: ...


class Engines(Protocol):
    """What this machine has and knows of engines. The adapter says what each method does."""

    def find_build(self, build: Build) -> Path: ...
    def list_gpu_builds(self) -> tuple[Build, ...]: ...
    def has_device(self, kind: str) -> bool: ...
    def load_toolkit(self, kind: str) -> Toolkit: ...
    def make(self, file: Path, build: Build, index_url: str, on_line: Report) -> None: ...
    def load_record(self, form: EngineForm, gpu: bool) -> EngineRecord | None: ...
    def save_record(self, form: EngineForm, gpu: bool, record: EngineRecord, lasting: bool) -> None: ...
    def forget_record(self, form: EngineForm, gpu: bool) -> None: ...
    def ask(self, command: Sequence[str], environment: Mapping[str, str]) -> TrialResult: ...


class Fetch(Protocol):
    """One HTTP question and its answer."""

    def __call__(
        self, url: str, *, key: str = "", timeout_s: float = 5.0, body: Mapping[str, Any] | None = None
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything an operation reads or changes, and where.

    Attributes:
        site: the site's folder.
        data_root: folder with the project's ``compose``, ``services`` and ``models``.
        cache_dir: what outlives sites: service environments and built engines.
        environment: the process environment.
        flags: setting name in upper case to the text given on the command line.
        python: the interpreter that runs ``stackctl``.
        launcher: path of ``stackctl/programs/launch.py``.
        report: shows progress on stderr.
        confirm: asks a question with yes or no on a terminal; no where nobody can answer.
        make_runtime: the runtime of this name that can start the site's stack with this GPU.
        find_runtime: the runtime of a started stack, to look at it or to stop it, whatever its files say now.
        find_forgotten: runtimes of this name in which something of this site runs; for when no state says so.
        hold_interrupts: while it is entered, no signal interrupts what runs.
        load_host: this machine; with what Docker says of itself when asked.
        is_same_file: whether two paths that are there lead to one file.
        load_memory_bytes: the machine's memory, 0 where it is not known.
        load_gpu_memory: what the NVIDIA driver says of the processes that hold its memory.
        load_resident_bytes: memory that a process of this machine and those below it hold, ``None`` when not known.
    """

    site: Path
    data_root: Path
    cache_dir: Path
    environment: Mapping[str, str]
    flags: Mapping[str, str]
    python: str
    launcher: Path
    report: Report
    confirm: Callable[[str], bool]
    load_text: Callable[[Path], str | None]
    save_text: Callable[[Path, str, int], bool]
    remove_file: Callable[[Path], None]
    is_link: Callable[[Path], bool]
    hash_folder: Callable[[Path], str]
    hold_lock: Callable[[Path], AbstractContextManager[None]]
    load_model_files: Callable[[Path], tuple[ModelFile, ...]]
    find_program: Callable[[str], str | None]
    load_cpu_features: Callable[[], frozenset[str] | None]
    find_environment: Callable[[Path, Mapping[str, str]], Path]
    engines: Engines
    load_host: Callable[[bool], Host]
    load_memory_bytes: Callable[[], int]
    load_file_facts: Callable[..., FileFacts]
    load_gpu_memory: Callable[[], GpuMemory]
    list_ancestors: Callable[[int], tuple[int, ...]]
    load_resident_bytes: Callable[[int], int | None]
    make_runtime: Callable[[str, LoadedSite, str], Runtime]
    find_runtime: Callable[[SiteState], Runtime]
    find_forgotten: Callable[[str], tuple[Runtime, ...]]
    hold_interrupts: Callable[[], AbstractContextManager[None]]
    is_same_file: Callable[[Path, Path], bool]
    fetch: Fetch
    stream_chat: Callable[[str, str, Mapping[str, Any], float], Iterator[ChatPiece]]
    make_key: Callable[[], str]
    clock: Callable[[], float]
    sleep: Callable[[float], None] = field(repr=False)

    @property
    def state_dir(self) -> Path:
        """The site's state folder: rendered files, logs, sockets; never part of a bundle."""
        return self.site / ".stack"

    @property
    def rendered_dir(self) -> Path:
        """Where ``up`` puts what it starts from."""
        return self.state_dir / "rendered"
