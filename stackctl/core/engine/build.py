"""How llama.cpp is compiled on this machine: for its CPU, for any CPU, or for the GPU that is there. Pure.

In: what the machine has of GPUs and compilers. Out: a ``Build``, or a sentence that says what is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Final

from stackctl.core.machine.gpu import Gpu, explain_driver_mismatch
from stackctl.core.machine.host import Host

# 297 s on 16 cores for one architecture of CUDA (docs/decisions/process-engine.md): nvcc takes nearly all of it.
CUDA_CORE_SECONDS: Final = 297 * 16


@dataclass(frozen=True, slots=True)
class Build:
    """One way to compile llama.cpp here.

    Attributes:
        name: name of the build; its folder's name begins with it.
        arguments: command line of ``services/inference/build_llama_server.py``.
        is_for_this_cpu: whether the result may not run on another CPU.
        kind: kind of GPU that the build is for: "nvidia", "amd" or "vulkan"; empty for the CPU alone.
        compiler: version of the GPU's compiler, so that another version builds anew.
        environment: variables that the build needs beside this process's own environment.
    """

    name: str
    arguments: tuple[str, ...] = ()
    is_for_this_cpu: bool = False
    kind: str = ""
    compiler: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


NATIVE = Build("native", is_for_this_cpu=True)
PORTABLE = Build("portable", ("--portable",))


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A GPU's compiler as this machine has it.

    Attributes:
        compiler: path of the compiler that CMake is to call; empty when there is none.
        version: version that the compiler states, "13.0"; empty when it states none.
        missing: programs and headers beside the compiler that a build needs and that are not here.
    """

    compiler: str = ""
    version: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a build for one kind of GPU is called and needs."""

    title: str
    switch: str
    variable: str
    install: str


_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "nvidia": _Kind("NVIDIA", "cuda", "CUDACXX", "the CUDA toolkit (nvcc)"),
        "amd": _Kind("AMD", "hip", "HIPCXX", "ROCm's HIP compiler (hipcc) with hipBLAS"),
        "vulkan": _Kind("Vulkan", "vulkan", "", "glslc and the Vulkan headers (Debian: glslc libvulkan-dev)"),
    }
)


@dataclass(frozen=True, slots=True)
class GpuBuildPlan:
    """Whether an engine for the GPU can be built here.

    Attributes:
        build: how to build the engine; None when it cannot be built.
        title: name of the card in words.
        problem: why no engine can be built, one clause; ``hint``: what to do about it.
        duration_s: seconds that a build takes, about; 0 where nobody measured.
    """

    title: str
    build: Build | None = None
    problem: str = ""
    hint: str = ""
    duration_s: float = 0.0

    def render_duration(self) -> str:
        """The duration in words: ``about 5 minutes``."""
        if not self.duration_s:
            return "some minutes"
        minutes = math.ceil(self.duration_s / 60)
        return f"about {minutes} minutes" if minutes > 1 else "about a minute"


def plan_gpu_build(host: Host, kind: str, devices: str, toolkit: Toolkit) -> GpuBuildPlan:
    """What building an engine for the chosen GPU takes, and whether this machine has what it takes.

    Args:
        kind: kind of GPU: "nvidia", "amd" or "vulkan".
        devices: value of ``GPU_DEVICES``.
    """
    facts, gpus = _KINDS[kind], host.select_gpus(kind, devices)
    title = ", ".join(dict.fromkeys(gpu.name for gpu in gpus)) or facts.title
    missing = ([] if toolkit.compiler else [facts.install]) + list(toolkit.missing)
    if missing:
        hint = f"install {' and '.join(missing)}, then run 'stackctl up --build-engine'"
        return GpuBuildPlan(title, problem=f"this machine lacks {' and '.join(missing)}", hint=hint)
    mismatch = _explain_mismatch(gpus, toolkit) if kind == "nvidia" else ""
    if mismatch:
        return GpuBuildPlan(title, problem=mismatch, hint="update the driver, or install an older CUDA toolkit")
    architecture = _find_architecture(gpus) if kind == "nvidia" else ""
    build = Build(
        name="-".join(filter(None, (facts.switch, architecture.replace(";", "_")))),
        arguments=("--gpu", facts.switch, *(("--architecture", architecture) if architecture else ())),
        is_for_this_cpu=True,
        kind=kind,
        compiler=toolkit.version,
        environment={facts.variable: toolkit.compiler} if facts.variable else {},
    )
    duration_s = CUDA_CORE_SECONDS / max(host.cpu_count, 1) if kind == "nvidia" else 0.0
    return GpuBuildPlan(title, build, duration_s=duration_s)


def _explain_mismatch(gpus: tuple[Gpu, ...], toolkit: Toolkit) -> str:
    """Why the driver cannot run what this toolkit compiles; empty when it can."""
    parts = toolkit.version.split(".")
    cuda = tuple(int(part) for part in parts[:2]) if all(part.isdecimal() for part in parts[:2]) else ()
    return next(filter(None, (explain_driver_mismatch(gpu, cuda) for gpu in gpus)), "")


def _find_architecture(gpus: tuple[Gpu, ...]) -> str:
    """CMake's list of the cards' compute capabilities: ``90``, ``86;90``; empty where the driver tells none."""
    known = {"".join(str(part) for part in gpu.compute_capability) for gpu in gpus}
    return ";".join(sorted(filter(None, known)))


def write_build(build: Build) -> str:
    """The build as text, kept beside what it made."""
    return json.dumps({**asdict(build), "environment": dict(build.environment)}, indent=1, sort_keys=True) + "\n"


def parse_build(text: str | None) -> Build | None:
    """Read the text of a build; ``None`` where there is none or it is not ours."""
    try:
        values = json.loads(text or "")
        environment = {str(name): str(value) for name, value in values["environment"].items()}
        return Build(
            str(values["name"]),
            tuple(str(item) for item in values["arguments"]),
            bool(values["is_for_this_cpu"]),
            str(values["kind"]),
            str(values["compiler"]),
            environment,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
