"""Compile llama.cpp on this machine, and look at what it has to compile for a GPU.

Does I/O. Builds are in the user's cache, in folders for this user alone, and shared between sites; a second command
that wants one waits for the first.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from stackctl.adapters.files.site_files import save_text
from stackctl.adapters.machine.commands import run_command, stream_command
from stackctl.adapters.process.environments import wait_for_lock
from stackctl.core.engine.build import Build, Toolkit, write_build
from stackctl.core.engine.engines import ENGINE_FOLDER
from stackctl.errors import EngineRefused, RuntimeFailure

BUILD_SCRIPT = "build_llama_server.py"
BUILD_FILE = "build.json"
# What the script ends with when what it built does not answer, and whether that lasts; and how its last line begins.
_NO_ANSWER: Mapping[int, bool] = {3: True, 4: False}
_NO_ANSWER_PREFIX = "refused: the new llama-server "
_TOOLKIT_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "nvcc": ("/usr/local/cuda/bin", "/opt/cuda/bin"),
    "hipcc": ("/opt/rocm/bin",),
}
_COMPILERS = {"nvidia": "nvcc", "amd": "hipcc", "vulkan": "glslc"}
_VERSION = re.compile(r"release (\d+\.\d+)|HIP version: (\d+\.\d+)|shaderc v?(\d+\.\d+)")
_DEVICES = {
    "nvidia": ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"),  # the last one in WSL2
    "amd": ("/dev/kfd",),
    "vulkan": ("/dev/dri",),
}


def make_build(file: Path, build: Build, data_root: Path, index_url: str, on_line: Callable[[str], None]) -> None:
    """Build ``llama-server`` (3 to 4 minutes on two cores for a CPU) or ``libllama.so`` alone, unless it is there.

    Raises:
        EngineRefused: the engine was built, and does not answer the demo's question here.
        RuntimeFailure: the build failed; has the end of its output.
    """
    folder = file.parent
    if is_built(file):
        return
    with wait_for_lock(folder.with_name(folder.name + ".lock"), on_line):
        if is_built(file):
            return
        folder.mkdir(exist_ok=True, mode=0o700)
        _check_owner(folder)
        library = ["--library"] if file.suffix == ".so" else []
        script = data_root / ENGINE_FOLDER / BUILD_SCRIPT
        settings = {**build.environment, **({"PIP_INDEX_URL": index_url} if index_url else {})}
        argv = [sys.executable, str(script), *build.arguments, *library, str(folder)]
        done = stream_command(argv, on_line, settings)
        if done.code in _NO_ANSWER:
            reason = done.stderr.splitlines()[-1].removeprefix(_NO_ANSWER_PREFIX)
            raise EngineRefused(reason, is_lasting=_NO_ANSWER[done.code])
        if done.code:
            raise RuntimeFailure(
                f"{file.name} could not be built: {done.render_failure()}",
                "install a C++ compiler and CMake, or set INFERENCE_ENGINE=auto",
            )
        save_text(folder / BUILD_FILE, write_build(build), 0o600)


def load_toolkit(kind: str) -> Toolkit:
    """The compiler for a kind of GPU, and what a build needs beside it and does not find."""
    missing = [] if shutil.which("cmake") else ["CMake"]
    missing += [] if shutil.which("c++") or shutil.which("g++") else ["a C++ compiler"]
    if kind == "vulkan" and not Path("/usr/include/vulkan/vulkan.h").exists():
        missing.append("the Vulkan headers (Debian: libvulkan-dev)")
    name = _COMPILERS[kind]
    path = os.pathsep.join([os.environ.get("PATH", ""), *_TOOLKIT_FOLDERS.get(name, ())])
    compiler = shutil.which(name, path=path)
    if compiler is None:
        return Toolkit(missing=tuple(missing))
    if kind == "nvidia" and not _has_cublas(Path(compiler)):
        missing.append("cuBLAS with its headers (Debian: libcublas-dev of the toolkit's version)")
    found = _VERSION.search(run_command([compiler, "--version"]).stdout)
    version = next(filter(None, found.groups()), "") if found else ""
    if kind == "amd":
        compiler = _find_hip_clang(Path(compiler))
        missing += [] if compiler else ["ROCm's clang++ (its hipconfig names none)"]
    return Toolkit(compiler, version, tuple(missing))


def _find_hip_clang(hipcc: Path) -> str:
    """The compiler behind ROCm's wrapper, which CMake refuses; empty where there is none."""
    folder = run_command([str(hipcc.with_name("hipconfig")), "-l"]).stdout.strip()
    clang = Path(folder) / "clang++"
    return str(clang) if folder and clang.is_file() else ""


def _has_cublas(compiler: Path) -> bool:
    """Whether the toolkit is whole: its packages can be installed one by one, and CMake says so only after a while."""
    roots = (compiler.parents[1], compiler.resolve().parents[1], Path("/usr"))
    names = ("include/cublas_v2.h", "targets/*/include/cublas_v2.h")
    return any(next(root.glob(name), None) for root in roots for name in names)


def has_device(kind: str) -> bool:
    """Whether this machine shows a device of this kind, without asking its driver, which may take seconds."""
    return any(Path(path).exists() for path in _DEVICES[kind])


def is_built(file: Path) -> bool:
    """Whether this file is there, and this user built it.

    Raises:
        RuntimeFailure: another user may have put the file there.
    """
    if not file.is_file():
        return False
    _check_owner(file.parent)
    _check_owner(file)
    return True


def _check_owner(path: Path) -> None:
    """What is started from here must be what this user built."""
    facts = path.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise RuntimeFailure(
            f"{path} can be written by others, and engines are started from it.",
            f"make it yours alone: chmod go-w '{path}', or name another cache with XDG_CACHE_HOME",
        )
