"""What ``doctor`` looks at, as plain values, so that its checks need no disk and no real host. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from stackctl.core.machine.gpu import Gpu, parse_image_cuda
from stackctl.core.machine.host import Choice, GpuKind, Host

if TYPE_CHECKING:
    from stackctl.core.models.files import ModelFile, ModelMode
    from stackctl.errors import Finding

NO_GPU: Final = Choice("none", "")


@dataclass(frozen=True, slots=True)
class PortNeed:
    """A port that a service is to listen on; ``is_own`` is true when this stack holds it already."""

    setting: str
    port: int
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Bytes that will be written under a path, and the setting that moves them elsewhere.

    Attributes:
        access: what to do where this user may not write there; empty where somebody else writes.
    """

    purpose: str
    path: str
    needed_bytes: int
    setting: str = ""
    access: str = ""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file without understanding it.

    Attributes:
        mode: permission bits; None when the file does not exist.
        user_id, group_id: numbers of the file's owner and group.
        head: first bytes of the file; empty when it cannot be read or they were not asked for.
        identity: size in bytes, time of the last change of content in ns, inode; another file has another one.
        age_s: seconds since anything about the file changed, its place in the folder too.
    """

    path: str
    mode: int | None = None
    head: bytes = b""
    user_id: int = 0
    group_id: int = 0
    identity: list[int] = field(default_factory=list)
    age_s: float = 0.0

    def is_readable_by(self, user_id: int, group_id: int) -> bool:
        """Whether a process of this user and group may read the file, as the kernel decides it; root always may."""
        if self.mode is None or not user_id:
            return True
        if self.user_id == user_id:
            return bool(self.mode & 0o400)
        return bool(self.mode & (0o040 if self.group_id == group_id else 0o004))


@dataclass(frozen=True, slots=True)
class VllmEntry:
    """What vLLM takes: a share of each GPU's memory, 0 to 1, and how many GPUs the model is spread over."""

    share: float
    gpus: int = 1


@dataclass(frozen=True, slots=True)
class AgentNeed:
    """An agent, and the tokens of its first request with a short answer."""

    title: str
    tokens: int


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model that is to be served.

    Attributes:
        setting: setting that names the model's file: ``CHAT_MODEL`` or ``models.<name>.file``.
        path: path of the file that the setting names.
        files: all files of the model in order, n >= 1.
        context_length: tokens of each slot; 0 takes the default.
        gpu_layers: layers to offload; None lets the engine decide, 0 keeps the model on the CPU.
        permissions: facts of each file, as far as they are known.
        vllm: what only vLLM is told; None where another engine serves the model.
        tools: whether the model can call tools; None where nobody knows.
    """

    served_name: str
    setting: str
    path: str
    files: tuple[ModelFile, ...]
    mode: ModelMode = "chat"
    context_length: int = 0
    slots: int = 1
    gpu_layers: int | None = None
    permissions: tuple[FileFacts, ...] = ()
    vllm: VllmEntry | None = None
    tools: bool | None = None

    @property
    def context_setting(self) -> str:
        """Name of the setting that gives the model's context."""
        if self.setting.startswith("models."):
            return self.setting.removesuffix(".file") + ".context_length"
        return "CONTEXT_LENGTH"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An engine image, and the CUDA version it was built with; empty when it was built with none."""

    name: str
    cuda: tuple[int, ...] = ()

    @classmethod
    def from_name(cls, name: str) -> ImageFacts:
        """What the name of an image tells of it."""
        return cls(name, parse_image_cuda(name))


@dataclass(frozen=True, slots=True)
class DoctorInput:
    """All that is checked before anything is pulled, built or started.

    Attributes:
        runtime_wanted: value of ``STACK_RUNTIME``; ``runtime`` is the runtime that will be used.
        gpu_wanted: value of ``STACK_GPU``; ``gpu`` is the GPU that will be used.
        gpu_access: value of ``GPU_ACCESS``.
        gpu_devices: value of ``GPU_DEVICES``: ``all``, or indices and UUIDs separated by commas.
        container_user: user and group of the engine's container.
        image: facts of the engine's image, in the compose runtime with the chosen GPU.
        held_memory_bytes, held_gpu_bytes: bytes that this stack's engines hold now; they count as available.
        env_file: facts of ``.env``, with its mode.
        ca_bundle: facts of the CA bundle with its first bytes, when one is configured; ``ca_setting`` names its
            setting.
        settings_findings: findings of the parser of ``.env``, passed on as they are.
        agents: what is compared with the context of each chat model.
        engine_findings: findings about the process runtime's engine, passed on as they are.
    """

    host: Host
    runtime: Literal["compose", "process"] = "process"
    runtime_wanted: str = "auto"
    gpu: Choice[GpuKind] = field(default=NO_GPU)
    gpu_wanted: str = "auto"
    gpu_devices: str = "all"
    gpu_access: str = "auto"
    container_user: tuple[int, int] = (0, 0)
    image: ImageFacts | None = None
    kv_cache_type: str = "f16"
    ports: tuple[PortNeed, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    disks: tuple[DiskNeed, ...] = ()
    held_memory_bytes: int = 0
    held_gpu_bytes: int = 0
    env_file: FileFacts | None = None
    ca_bundle: FileFacts | None = None
    ca_setting: str = "BUILD_CA_BUNDLE"
    settings_findings: tuple[Finding, ...] = ()
    engine_findings: tuple[Finding, ...] = ()
    agents: tuple[AgentNeed, ...] = ()

    def select_gpus(self) -> tuple[Gpu, ...]:
        """GPUs of the chosen kind that ``gpu_devices`` names, by index, UUID or a slice's UUID."""
        return self.host.select_gpus(self.gpu.value, self.gpu_devices)
