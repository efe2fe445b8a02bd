"""The machine the stack is to run on, as one value, and the two choices made from it: runtime and GPU.

In: what an adapter read. Out: a frozen ``Host`` and ``Choice`` values that say why. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, Literal, TypeVar, cast, get_args

from stackctl.core.machine.docker_endpoint import Endpoint, hint_for_docker
from stackctl.core.machine.gpu import Gpu, parse_version
from stackctl.core.machine.limits import Limits
from stackctl.errors import ConfigError, Finding, Severity

RuntimeName = Literal["compose", "process"]
GpuKind = Literal["nvidia", "amd", "vulkan", "none"]
Chosen = TypeVar("Chosen", RuntimeName, GpuKind)

MINIMUM_COMPOSE: Final = (2, 20)


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
class DockerFacts:
    """What the Docker client and its engine say.

    Attributes:
        server_version: version of the Docker engine; empty when none answers.
        problem: why no Docker engine answers, in the client's words.
        compose_version: version of the Compose plugin; empty when there is none.
        legacy_compose_version: version of a separate ``docker-compose`` 1.x on PATH; empty when there is none.
        endpoint: address at which the Docker engine is looked for.
        runtimes: names of OCI runtimes, ``nvidia`` among them where its toolkit registered one.
        cdi_devices: CDI device names that the Docker engine found, ``nvidia.com/gpu=0``.
    """

    client_version: str = ""
    server_version: str = ""
    problem: str = ""
    compose_version: str = ""
    legacy_compose_version: str = ""
    operating_system: str = ""
    storage_driver: str = ""
    root_dir: str = ""
    runtimes: frozenset[str] = frozenset()
    cdi_devices: tuple[str, ...] = ()
    endpoint: Endpoint = field(default_factory=Endpoint)

    @property
    def is_reachable(self) -> bool:
        """Whether a Docker engine answers."""
        return bool(self.server_version)

    @property
    def has_only_cdi(self) -> bool:
        """Whether NVIDIA GPUs reach containers as CDI devices and in no other way."""
        has_devices = any(device.startswith("nvidia.com/gpu=") for device in self.cdi_devices)
        return has_devices and "nvidia" not in self.runtimes

    def gives_by_cdi(self, access: str) -> bool:
        """Whether containers get NVIDIA GPUs as CDI devices.

        Args:
            access: value of ``GPU_ACCESS``.
        """
        return access == "cdi" or (access == "auto" and self.has_only_cdi)

    @property
    def is_desktop(self) -> bool:
        """Whether this is Docker Desktop, whose engine is in a virtual machine of its own."""
        return "docker desktop" in self.operating_system.lower()

    @property
    def has_usable_compose(self) -> bool:
        """Whether ``docker compose`` is there and new enough."""
        return parse_version(self.compose_version) >= MINIMUM_COMPOSE


def parse_docker_info(stdout: str, stderr: str = "") -> DockerFacts:
    """Read the answer to ``docker info --format '{{json .}}'``; without an engine it has the client's half only."""
    try:
        data: Any = json.loads(stdout or "{}")
    except ValueError:
        data = {}
    data = data if isinstance(data, dict) else {}
    errors = [str(error) for error in data.get("ServerErrors") or []]
    said = stderr.strip().splitlines()
    server = str(data.get("ServerVersion") or "")
    devices = data.get("DiscoveredDevices") or []
    return DockerFacts(
        client_version=str((data.get("ClientInfo") or {}).get("Version") or ""),
        server_version=server,
        problem="" if server else next(iter([*errors, *said]), "no answer from the engine"),
        operating_system=str(data.get("OperatingSystem") or ""),
        storage_driver=str(data.get("Driver") or ""),
        root_dir=str(data.get("DockerRootDir") or ""),
        runtimes=frozenset(data.get("Runtimes") or {}),
        cdi_devices=tuple(str(item.get("ID")) for item in devices if item.get("Source") == "cdi"),
    )


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


def explain_no_compose(docker: DockerFacts | None) -> str:
    """Why containers cannot be run with Compose, one clause; empty when they can."""
    if docker is None:
        return "there is no docker command"
    if not docker.is_reachable:
        place = f" at {docker.endpoint.render_text()}" if docker.endpoint.source else ""
        return f"no Docker engine answers{place}: {docker.problem or 'no reason given'}"
    if not docker.compose_version:
        legacy = docker.legacy_compose_version
        seen = f"only docker-compose {legacy} is installed" if legacy else "there is no Compose plugin"
        return f"{seen}, and Compose 2.20 or newer is needed"
    if not docker.has_usable_compose:
        return f"Compose {docker.compose_version} is too old, 2.20 or newer is needed"
    return ""


def explain_docker_fix(docker: DockerFacts | None) -> str:
    """The next step where ``explain_no_compose`` has something to say."""
    if docker is None:
        return "install Docker Engine with its Compose plugin, or set STACK_RUNTIME=process"
    if docker.is_reachable:
        return "install the docker-compose-plugin package (Compose 2.20 or newer), or set STACK_RUNTIME=process"
    return hint_for_docker(docker.endpoint, docker.problem)


def check_docker(docker: DockerFacts | None) -> tuple[Finding, ...]:
    """A warning where Docker is meant to be used and this user may not use it, or its address leads nowhere.

    A Docker that is merely not started is no reason to warn of a stack that runs without it.
    """
    if docker is None or docker.is_reachable:
        return ()
    problem, hint = explain_no_compose(docker), explain_docker_fix(docker)
    is_elsewhere = docker.endpoint.source and not docker.endpoint.is_local_context
    is_meant = is_elsewhere or "permission denied" in docker.problem.lower()
    return (Finding("Docker", problem, hint, Severity.WARNING),) if is_meant else ()


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
