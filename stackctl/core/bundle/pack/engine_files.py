"""Which files a packed engine is made of, and what it asks of the machine that it comes to. Pure.

In: what ``ldd`` says of ``llama-server``, and bytes of its files. Out: the libraries that travel with it, those that
must be there, and the least glibc and driver.

Source: NVIDIA, CUDA Toolkit EULA, attachment A (what may be passed on) and "CUDA compatibility" (least drivers);
GCC Runtime Library Exception 3.1; glibc symbol versions.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

Gpu = Literal["none", "nvidia", "amd", "vulkan"]

ENGINE_LICENCE: Final = "MIT"
_OWN: Final = ("libllama", "libggml", "libmtmd")
# Names of files that may be passed on, with the licence that says so.
_CARRIED: Final[Mapping[str, str]] = {
    "libcudart": "NVIDIA CUDA Toolkit EULA",
    "libcublas": "NVIDIA CUDA Toolkit EULA",
    "libcublasLt": "NVIDIA CUDA Toolkit EULA",
    "libgomp": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
# The driver's own: they belong to the kernel module of the machine and are never passed on.
_DRIVER: Final = re.compile(r"libcuda\.so|libcudadebugger\.so|libnvidia-|libnvcuvid\.so")
# On every Linux that Python and its wheels run on.
_EVERYWHERE: Final = re.compile(
    r"(linux-vdso|ld-linux|libc|libm|libdl|librt|libpthread|libresolv|libstdc\+\+|libgcc_s)[.-]"
)
_GPU_NAMES: Final[Mapping[Gpu, re.Pattern[str]]] = {
    "nvidia": re.compile(r"libcuda\.so|libcudart|libcublas|libggml-cuda"),
    "amd": re.compile(r"libamdhip64|librocblas|libhipblas|libggml-hip"),
    "vulkan": re.compile(r"libvulkan|libggml-vulkan"),
}
# How llama.cpp names devices of each kind in its list.
_DEVICE_NAMES: Final[Mapping[Gpu, str]] = {"nvidia": "CUDA", "amd": "ROCm", "vulkan": "Vulkan"}
# The first driver of each major version of CUDA: later ones of the same major version run on it too.
_LEAST_DRIVERS: Final[Mapping[str, str]] = {"11": "450.80.02", "12": "525.60.13", "13": "580.65.06"}
_LINE: Final = re.compile(r"\s*(?P<name>\S+) => (?P<path>/.+?|not found)(?: \(0x[0-9a-f]+\))?\s*")
_GLIBC: Final = re.compile(rb"\0GLIBC_2\.(\d{1,3})(?=\0)")


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library that an engine loads.

    Attributes:
        path: path where the library was found; empty where it was not.
    """

    name: str
    path: str

    @property
    def licence(self) -> str:
        """Licence of a library that travels with the engine; empty for every other."""
        stem = self.name.partition(".so")[0]
        if _DRIVER.match(self.name):
            return ""
        return ENGINE_LICENCE if stem.startswith(_OWN) else _CARRIED.get(stem, "")

    @property
    def is_expected(self) -> bool:
        """Whether every site has the library, or gets it with its driver."""
        return bool(_EVERYWHERE.match(self.name) or _DRIVER.match(self.name))


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What is known of an engine that a bundle is to carry.

    Attributes:
        program: absolute path of the engine.
        version: version as the engine states it: ``6924 (e60f241e)``.
        devices: devices as the engine lists them on this machine; may be none.
        libraries: all libraries that the engine loads.
        glibc: lowest version that the engine and its libraries need: ``2.34``; empty where they need none.
        driver: lowest version of the NVIDIA driver that the engine needs; empty for other GPUs.
    """

    program: str
    version: str
    devices: tuple[str, ...]
    libraries: tuple[Library, ...]
    glibc: str = ""
    driver: str = ""

    @property
    def carried(self) -> tuple[Library, ...]:
        """Libraries that travel with the engine."""
        return tuple(item for item in self.libraries if item.licence and item.path)

    @property
    def unexpected(self) -> tuple[str, ...]:
        """Names of libraries that the site must bring and may not have."""
        return tuple(item.name for item in self.libraries if not item.licence and not item.is_expected)

    @property
    def gpu(self) -> Gpu:
        """The kind of GPU that the engine was built for."""
        return find_gpu(item.name for item in self.libraries)

    @property
    def finds_gpu(self) -> bool:
        """Whether the engine finds a GPU of its kind on this machine; one for the CPU needs none."""
        return self.gpu == "none" or any(name.startswith(_DEVICE_NAMES[self.gpu]) for name in self.devices)


def parse_libraries(text: str) -> tuple[Library, ...]:
    """Libraries as ``ldd`` prints them, each with the name by which it is loaded."""
    matches = (_LINE.fullmatch(line) for line in text.splitlines())
    found = {m["name"]: Library(m["name"], "" if m["path"] == "not found" else m["path"]) for m in matches if m}
    return tuple(found[name] for name in sorted(found))


def find_gpu(names: Iterable[str]) -> Gpu:
    """The kind of GPU that these libraries are for."""
    listed = tuple(names)
    return next((gpu for gpu, names in _GPU_NAMES.items() if any(names.match(name) for name in listed)), "none")


def find_glibc(data: bytes | mmap.mmap) -> int:
    """The highest minor version of glibc 2 among the symbol versions that a file's bytes name; 0 for none."""
    return max((int(number) for number in _GLIBC.findall(data)), default=0)


def find_least_driver(libraries: Iterable[Library], here: str) -> str:
    """The lowest version of the NVIDIA driver for these libraries.

    Args:
        here: driver of the machine that the engine was tried on: it is known to do where no library tells.
    """
    listed = tuple(libraries)
    if find_gpu(item.name for item in listed) != "nvidia":
        return ""
    majors = {m[1] for item in listed if (m := re.match(r"lib(?:cudart|cublas)\.so\.(\d+)", item.name))}
    least = [_LEAST_DRIVERS[major] for major in sorted(majors, key=int) if major in _LEAST_DRIVERS]
    return least[-1] if least else here


def parse_version(text: str) -> str:
    """The version in what ``llama-server --version`` prints, as ``6924 (e60f241e)``; empty where it prints none."""
    match = re.search(r"^version: (.{1,80}?)\s*$", text, re.MULTILINE)
    return match[1] if match else ""


def parse_devices(text: str) -> tuple[str, ...]:
    """The devices that ``llama-server --list-devices`` lists: ``CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)``."""
    lines = text.partition("Available devices:")[2].splitlines()
    return tuple(line.strip() for line in lines if re.match(r"\s+\w+: ", line))


def title_engine(program: str, version: str, gpu: str) -> str:
    """An engine's title: ``llama-server 6924 (e60f241e) for NVIDIA GPUs``."""
    kinds = {"none": "CPUs", "nvidia": "NVIDIA GPUs", "amd": "AMD GPUs", "vulkan": "Vulkan GPUs"}
    return f"{PurePosixPath(program).name} {version} for {kinds[gpu]}"
