"""The machine the stack is to run on, as one value, and the two choices made from it: runtime and GPU.

In: what an adapter read. Out: a frozen ``Host`` and ``Choice`` values that say why. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar, cast, get_args

from stackctl.core.machine.docker_facts import DockerFacts, explain_docker_fix, explain_no_compose
from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.limits import Limits
from stackctl.errors import ConfigError

RuntimeName = Literal["compose", "process"]
GpuKind = Literal["nvidia", "amd", "vulkan", "none"]
Chosen = TypeVar("Chosen", RuntimeName, GpuKind)


@dataclass(frozen=True, slots=True)
class PortHolder:
    """The process that listens on a TCP port; ``pid`` 0 and an empty name where this user may not know."""

    pid: int = 0
    name: str = ""
    address: str = ""

    def render_text(self) -> str:
        """The process in words: ``python3 (pid 4711)``."""
        if not self.pid:
            return "a process that this user cannot see"
        return f"{self.name or 'a process'} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Free bytes for this user of the file system that holds a path, and its type (``ext4``, ``9p``).

    Attributes:
        is_writable: whether this user may write there, or make the folder that is not there yet.
    """

    free_bytes: int
    file_system: str = ""
    is_writable: bool = True


@dataclass(frozen=True, slots=True)
class Host:
    """Facts of one machine.

    Attributes:
        system: name of the operating system: ``Linux``, ``Darwin``; ``kernel``: its release.
        memory_available_bytes: bytes that new processes can take without swapping.
        disks: disk of each path that was asked for, by path.
        gpu_problem: why a GPU that seems to be there cannot be used, one sentence.
        cuda_version: newest CUDA version that the NVIDIA driver runs.
        docker: facts of Docker; None where there is no Docker client.
        has_nvidia_toolkit: whether the container toolkit's program is on PATH.
        cdi_specs: file names of CDI specifications on this host.
        ports: holder of each TCP port that something listens on.
        limits: what processes that are started here may use of it; containers that Docker starts are not below these.
    """

    system: str = "Linux"
    kernel: str = ""
    cpu_count: int = 1
    memory_total_bytes: int = 0
    memory_available_bytes: int = 0
    disks: Mapping[str, DiskSpace] = field(default_factory=dict)
    gpus: tuple[Gpu, ...] = ()
    gpu_problem: str = ""
    cuda_version: tuple[int, ...] = ()
    has_kfd: bool = False
    docker: DockerFacts | None = None
    has_nvidia_toolkit: bool = False
    cdi_specs: tuple[str, ...] = ()
    ports: Mapping[int, PortHolder] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def bounded(self) -> Host:
        """The same with the memory that processes started here may use."""
        left = self.limits.memory_left_bytes
        return replace(
            self,
            memory_total_bytes=self.limits.bound_memory(self.memory_total_bytes),
            memory_available_bytes=self.memory_available_bytes
            if left is None
            else min(left, self.memory_available_bytes),
        )

    @property
    def is_wsl2(self) -> bool:
        """Whether this is a Linux inside Windows."""
        return "microsoft" in self.kernel.lower()

    @property
    def is_docker_desktop(self) -> bool:
        """Whether the Docker engine is Docker Desktop's."""
        return self.docker is not None and self.docker.is_desktop

    def find_gpus(self, kind: str) -> tuple[Gpu, ...]:
        """GPUs that a kind of engine can use; a Vulkan engine takes AMD's, too."""
        kinds = ("vulkan", "amd") if kind == "vulkan" else (kind,)
        return tuple(gpu for gpu in self.gpus if gpu.kind in kinds)

    def select_gpus(self, kind: str, devices: str) -> tuple[Gpu, ...]:
        """GPUs of this kind that GPU_DEVICES names by index, UUID or a slice's UUID; ``all`` is every one."""
        named = {part.strip() for part in devices.split(",")}
        return tuple(
            gpu
            for gpu in self.find_gpus(kind)
            if "all" in named or named & {str(gpu.index), gpu.uuid, *(part.uuid for part in gpu.slices)}
        )


@dataclass(frozen=True, slots=True)
class Choice(Generic[Chosen]):
    """A choice and the reason for it, one clause to show beside it."""

    value: Chosen
    reason: str


def parse_runtime_name(text: str) -> RuntimeName:
    """The runtime of this name.

    Raises:
        ValueError: no runtime has the name.
    """
    for name in get_args(RuntimeName):
        if name == text:
            return cast("RuntimeName", name)
    raise ValueError(f"{text!r} is no runtime")


def choose_runtime(host: Host, wanted: str = "auto") -> Choice[RuntimeName]:
    """Choose ``compose`` or ``process``.

    Args:
        wanted: value of ``STACK_RUNTIME``: ``auto``, ``compose`` or ``process``.

    Raises:
        ConfigError: ``compose`` is wanted and this machine cannot run it; the message says what is missing.
    """
    if wanted == "process":
        return Choice("process", "STACK_RUNTIME says so")
    problem = explain_no_compose(host.docker)
    if wanted == "compose":
        if problem:
            raise ConfigError(f"STACK_RUNTIME=compose, but {problem}", explain_docker_fix(host.docker))
        return Choice("compose", "STACK_RUNTIME says so")
    if problem:
        return Choice("process", problem)
    version = host.docker.server_version if host.docker else ""
    return Choice("compose", f"Docker {version} answers")


def choose_gpu(host: Host, wanted: str = "auto") -> Choice[GpuKind]:
    """Choose what the engine computes on: ``nvidia``, ``amd``, ``vulkan`` or ``none``.

    ``auto`` takes NVIDIA before AMD and does not take Vulkan: an integrated GPU is often slower than the CPU,
    so that is for the operator to say.

    Raises:
        ConfigError: a GPU is asked for that this host does not show.
    """
    if wanted == "none":
        return Choice("none", "STACK_GPU=none")
    kinds: tuple[Literal["nvidia", "amd", "vulkan"], ...] = ("nvidia", "amd", "vulkan")
    for kind in kinds:
        gpus = host.find_gpus(kind)
        names = ", ".join(gpu.name for gpu in gpus)
        if wanted == kind:
            if gpus:
                return Choice(kind, names)
            reason = host.gpu_problem or "this host shows none"
            raise ConfigError(f"STACK_GPU={kind}, but {reason}", "set STACK_GPU=auto, or run 'stackctl doctor'")
        if wanted == "auto" and gpus and (kind == "nvidia" or (kind == "amd" and host.has_kfd)):
            return Choice(kind, names)
    return Choice("none", host.gpu_problem or "no GPU found, so the engine computes on the CPU")
