"""GPUs of a host as values: what ``nvidia-smi`` prints, what a driver can run, what an image needs.

In: text that an adapter got from the tools. Out: ``Gpu`` values and sentences. Pure. The tools print one CSV
row a GPU, ``[N/A]`` for what they do not know, and plain English when the driver is broken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

GpuKind = Literal["nvidia", "amd", "vulkan"]

NVIDIA_QUERY: Final = (
    "nvidia-smi",
    "--query-gpu=index,uuid,name,driver_version,memory.total,memory.used,compute_cap",
    "--format=csv,noheader,nounits",
)
NVIDIA_LIST: Final = ("nvidia-smi", "-L")
NVIDIA_PROCESSES: Final = (
    "nvidia-smi",
    "--query-compute-apps=pid,used_memory",
    "--format=csv,noheader,nounits",
)

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30

# Oldest Linux driver branch -> newest CUDA it runs without a compatibility package.
# Source: CUDA release notes, table of toolkit driver versions.
_CUDA_OF_DRIVER: Final = (
    (590, (13, 1)),
    (580, (13, 0)),
    (575, (12, 9)),
    (570, (12, 8)),
    (565, (12, 7)),
    (560, (12, 6)),
    (555, (12, 5)),
    (550, (12, 4)),
    (545, (12, 3)),
    (535, (12, 2)),
    (530, (12, 1)),
    (525, (12, 0)),
    (520, (11, 8)),
    (470, (11, 4)),
    (450, (11, 0)),
)
# Oldest driver that runs programs built with any minor version of a CUDA major version.
# Source: CUDA compatibility guide, minor version compatibility.
_MINIMUM_DRIVER: Final = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580,)}
# Oldest compute capability that llama.cpp's images hold code for, by CUDA major version: CUDA 13 dropped
# Maxwell, Pascal and Volta. Source: ggml-cuda's CMakeLists.txt.
_MINIMUM_CAPABILITY: Final = {12: (5, 0), 13: (7, 5)}

_MIG_LINE: Final = re.compile(r"\s+MIG (?P<profile>\S+)\s+Device\s+\d+:\s+\(UUID: (?P<uuid>MIG-[^)]+)\)")
_GPU_LINE: Final = re.compile(r"GPU \d+: .*\(UUID: (?P<uuid>GPU-[^)]+)\)")
_CUDA_IMAGE: Final = re.compile(r"cuda[-_:]?(?P<major>1\d)?(?:\.(?P<minor>\d+))?(?![0-9])")
# The CUDA 12 build of the official images; their tag does not say the minor version.
_PLAIN_CUDA_IMAGE: Final = (12, 8)


@dataclass(frozen=True, slots=True)
class MigSlice:
    """A part of an NVIDIA GPU that is given out like a GPU of its own (MIG)."""

    uuid: str
    profile: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU that the host shows.

    Attributes:
        uuid: ``GPU-...``; empty where the tools give none.
        driver_version: version that the driver states, ``580.65.06``; empty when unknown.
        memory_used_bytes: memory in use; None when unknown, as for a GPU cut into slices.
        compute_capability: major and minor number of an NVIDIA GPU, (9, 0); empty for others.
        device: path of an AMD or Vulkan GPU's file under /dev.
    """

    kind: GpuKind
    index: int
    name: str
    uuid: str = ""
    driver_version: str = ""
    memory_total_bytes: int = 0
    memory_used_bytes: int | None = None
    compute_capability: tuple[int, ...] = ()
    device: str = ""
    slices: tuple[MigSlice, ...] = ()

    @property
    def memory_free_bytes(self) -> int:
        """Bytes that a new process can take: of the largest slice where the GPU is cut into slices."""
        if self.slices:
            return max(part.memory_bytes for part in self.slices)
        return max(self.memory_total_bytes - (self.memory_used_bytes or 0), 0)


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """What the NVIDIA driver says of the processes that hold GPU memory.

    Attributes:
        held: bytes by process id; 0 where the driver does not tell how much.
        problem: why the driver could not be asked, one clause; empty when it answered or was too slow to.
        answered: whether the driver listed processes: one that is not listed then holds nothing.
    """

    held: Mapping[int, int] = field(default_factory=dict)
    problem: str = ""
    answered: bool = True

    def gather(self, pid: int, list_ancestors: Callable[[int], tuple[int, ...]]) -> GpuMemory:
        """A copy in which what a service's processes hold counts for its first one: in a container that is an init."""
        family = {key for key in self.held if pid and pid in (key, *list_ancestors(key))}
        if not family:
            return self
        others = {key: size for key, size in self.held.items() if key not in family}
        return replace(self, held={**others, pid: sum(self.held[key] for key in family)})


def parse_version(text: str) -> tuple[int, ...]:
    """``580.65.06`` as (580, 65, 6), ``2.40.3-3`` as (2, 40, 3); empty when there is no number."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """GPUs from the output of ``NVIDIA_QUERY``; lines that are no row of it are passed over."""
    gpus = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        # A name may hold a comma; everything else is at a fixed place from one end.
        if len(cells) < 7 or not cells[0].isdecimal():
            continue
        driver, total, used, capability = cells[-4:]
        gpus.append(
            Gpu(
                kind="nvidia",
                index=int(cells[0]),
                uuid=cells[1],
                name=", ".join(cells[2:-4]),
                driver_version=driver,
                memory_total_bytes=(_parse_mib(total) or 0),
                memory_used_bytes=_parse_mib(used),
                compute_capability=parse_version(capability),
            )
        )
    return tuple(gpus)


def parse_mig_slices(text: str) -> dict[str, tuple[MigSlice, ...]]:
    """Slices by their GPU's UUID, from the output of ``NVIDIA_LIST``; GPUs without slices are left out."""
    slices: dict[str, tuple[MigSlice, ...]] = {}
    gpu = ""
    for line in text.splitlines():
        if match := _GPU_LINE.match(line):
            gpu = match["uuid"]
        elif gpu and (match := _MIG_LINE.match(line)):
            # Profiles are named by their share and memory: 1g.18gb, 3g.71gb+me.
            size = re.search(r"(\d+)gb", match["profile"])
            memory = int(size[1]) * _GIB if size else 0
            slices[gpu] = (*slices.get(gpu, ()), MigSlice(match["uuid"], match["profile"], memory))
    return slices


def add_slices(gpus: tuple[Gpu, ...], slices: dict[str, tuple[MigSlice, ...]]) -> tuple[Gpu, ...]:
    """The GPUs, each with its slices."""
    return tuple(replace(gpu, slices=slices.get(gpu.uuid, ())) for gpu in gpus)


def parse_gpu_processes(text: str) -> dict[int, int]:
    """Bytes of GPU memory by process id, from the output of ``NVIDIA_PROCESSES``; 0 where it is not told."""
    held: dict[int, int] = {}
    for line in text.splitlines():
        pid, _, used = line.partition(",")
        if pid.strip().isdecimal():
            held[int(pid)] = held.get(int(pid), 0) + (_parse_mib(used) or 0)
    return held


def parse_cuda_version(banner: str) -> tuple[int, ...]:
    """Newest CUDA version that the driver runs, from the banner of plain ``nvidia-smi``; empty when not there."""
    match = re.search(r"CUDA (?:UMD )?Version:\s*(\d+)\.(\d+)", banner)
    return (int(match[1]), int(match[2])) if match else ()


def find_driver_cuda(driver_version: str) -> tuple[int, ...]:
    """Newest CUDA version that a Linux driver of this version runs; empty for one older than all we know."""
    version = parse_version(driver_version)
    return next((cuda for branch, cuda in _CUDA_OF_DRIVER if version[:1] >= (branch,)), ())


def parse_image_cuda(image: str) -> tuple[int, ...]:
    """The CUDA version in an image's name or tag: ``server-cuda13-b1`` is (13, 0); empty when it has none."""
    match = _CUDA_IMAGE.search(image.lower())
    if not match:
        return ()
    return (int(match["major"]), int(match["minor"] or 0)) if match["major"] else _PLAIN_CUDA_IMAGE


def explain_driver_mismatch(gpu: Gpu, cuda: tuple[int, ...]) -> str:
    """Why a driver cannot run programs of this CUDA version at all; empty when it can or nothing is known."""
    minimum = _MINIMUM_DRIVER.get(cuda[0]) if cuda else None
    version = parse_version(gpu.driver_version)
    if minimum is None or not version or version >= minimum:
        return ""
    expected = ".".join(str(part) for part in minimum)
    newest = find_driver_cuda(gpu.driver_version)
    runs = f" and runs CUDA {newest[0]}.{newest[1]} at most" if newest else ""
    seen = f"driver {gpu.driver_version} of {gpu.name} is too old{runs}"
    return f"{seen}; CUDA {cuda[0]} needs {expected} or newer"


def explain_old_gpu(gpu: Gpu, cuda: tuple[int, ...]) -> str:
    """Why an image holds no code for this GPU; empty when it does or nothing is known."""
    minimum = _MINIMUM_CAPABILITY.get(cuda[0]) if cuda else None
    if minimum is None or not gpu.compute_capability or gpu.compute_capability >= minimum:
        return ""
    seen = ".".join(str(part) for part in gpu.compute_capability)
    return f"{gpu.name} has compute capability {seen}; CUDA {cuda[0]} images start at {minimum[0]}.{minimum[1]}"


def explain_smi_failure(output: str) -> str:
    """What a failing ``nvidia-smi`` means in one sentence; empty when it is not a message we know."""
    text = " ".join(output.split())
    known = {
        "couldn't communicate with the NVIDIA driver": "the NVIDIA driver is installed but not loaded",
        "Driver/library version mismatch": "the NVIDIA driver was updated: reboot to load it",
        "No devices were found": "the NVIDIA driver is loaded but sees no GPU",
        "Insufficient Permissions": "this user may not talk to the NVIDIA driver",
        "GPU access blocked by the operating system": "Windows does not give its GPU to this Linux",
    }
    return next((meaning for words, meaning in known.items() if words.lower() in text.lower()), "")


def _parse_mib(cell: str) -> int | None:
    """Bytes from a number of MiB, or None for ``[N/A]`` and the like."""
    digits = cell.strip().removesuffix(" MiB")
    return int(digits) * _MIB if digits.isdecimal() else None
