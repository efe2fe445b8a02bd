"""Build ``llama-server`` from the llama.cpp source inside the llama-cpp-python source package.

For the process runtime on a machine with no ``llama-server``: the package index is then the only source,
and the lock file says by hash which archive is taken. In: the lock file and a folder. Out:
``FOLDER/llama-server``, a binary without shared libraries of its own, and ``FOLDER/libllama.so``, the same code for
llama-cpp-python. Does I/O: downloads the archive with pip, unpacks and compiles it in a temporary folder (3 to 4
minutes on two cores; 1.5 for the library alone), prints progress to stderr.

Needs CMake and a C++ compiler, and uses Ninja where it is. Standard library only, so that any Python >= 3.11 can
run it. Nothing is installed before it has answered the demo model's question on this machine. Exit status: 0 installed,
1 not built, 2 bad command line, 3 built, and it does not answer, 4 the same, for a reason that may pass (no memory, no
GPU), 130 interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from engine_trial import try_engine

LOCK_FILE = Path(__file__).with_name("requirements.lock")
BUILD_LOCK_FILE = Path(__file__).with_name("requirements-build.lock")
PACKAGE = "llama-cpp-python"
BUILD_RECIPE = Path(__file__).with_name("llama_cpp_build.cmake")
SOURCE_IN_ARCHIVE = "vendor/llama.cpp/"
# Models for llama.cpp's own tests and its documentation: two thirds of the archive.
SKIPPED_IN_SOURCE = ("docs/", "models/", "media/")

BUILD_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",  # for libllama.so
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",  # would be downloaded
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_OPENSSL=OFF",  # models come from disk, clients from the gateway
    f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={BUILD_RECIPE}",
)


@dataclass(frozen=True)
class Product:
    """What is built: CMake's target and the file that it makes."""

    target: str
    file: str


SERVER, LIBRARY = Product("llama-server", "bin/llama-server"), Product("llama-whole", "whole/libllama.so")
# What turns a kind of GPU on, and what names its architecture.
GPU_FLAGS = {
    "cuda": ("-DGGML_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES"),
    "hip": ("-DGGML_HIP=ON", "-DGPU_TARGETS"),
    "vulkan": ("-DGGML_VULKAN=ON", ""),
}


class BuildError(Exception):
    """What failed and one next step, as text for a person."""


class NoAnswer(Exception):
    """What the new binary did instead of answering, a clause that follows its name.

    Args:
        is_lasting: whether it would do so again here.
    """

    def __init__(self, reason: str, *, is_lasting: bool) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and install; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build llama-server from llama-cpp-python's source package.")
    parser.add_argument("folder", type=Path, help="where to put llama-server")
    parser.add_argument("--sdist", type=Path, help="the source package, where pip cannot download it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at a time")
    parser.add_argument("--gpu", choices=GPU_FLAGS, help="for this kind of GPU too; needs its compiler")
    parser.add_argument(
        "--architecture", help="of the GPU: 90 for compute capability 9.0, gfx1100; default: the one here"
    )
    parser.add_argument(
        "--portable",
        action="store_true",
        help="for any x86-64 CPU with AVX2; without it, for the CPU of this machine only",
    )
    parser.add_argument("--library", action="store_true", help="libllama.so alone, for llama-cpp-python")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # or the folder of the build would stay behind
    flags = [*BUILD_FLAGS, *(["-DGGML_NATIVE=OFF"] if options.portable else [])]
    if options.gpu:
        switch, architecture = GPU_FLAGS[options.gpu]
        flags += [
            switch,
            *([f"{architecture}={options.architecture}"] if architecture and options.architecture else []),
        ]
    try:
        with tempfile.TemporaryDirectory(prefix="llama-server-") as work:
            products = choose_products(library=options.library, gpu=options.gpu is not None)
            for path in build(Path(work), options.folder, options.sdist, flags, options.jobs, products):
                print(path)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except NoAnswer as error:
        print(f"refused: the new llama-server {error}", file=sys.stderr)
        return 3 if error.is_lasting else 4
    except KeyboardInterrupt:
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def build(
    work: Path, folder: Path, sdist: Path | None, flags: Sequence[str], jobs: int, products: Sequence[Product]
) -> list[Path]:
    """Build in ``work`` and install into ``folder``; returns the installed files.

    Raises:
        BuildError: a tool is missing, the archive is not the locked one, or a step failed.
        NoAnswer: the new ``llama-server`` does not answer; nothing is installed.
    """
    if not shutil.which("cmake"):
        raise BuildError("cmake is not on PATH; install it (Debian: apt install cmake g++) and try again")
    requirement, hashes = read_locked_package(LOCK_FILE.read_text(encoding="utf-8"))
    archive = sdist or download(requirement, hashes, work)
    check_hash(archive, hashes)
    source = extract_source(archive, work)
    tree = work / "build"
    # Make compiles one library after the other, and a core waits at the end of each.
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run_step("configure", ["cmake", *generator, "-S", str(source), "-B", str(tree), *flags], work)
    targets = [product.target for product in products]
    run_step("compile", ["cmake", "--build", str(tree), "--target", *targets, "-j", str(jobs)], work)
    if SERVER in products:
        check_answer(tree / SERVER.file)
        if any(flag in flags for flag, _ in GPU_FLAGS.values()):
            check_device(tree / SERVER.file)
    return [install(tree / product.file, folder) for product in products]


def read_locked_package(lock: str) -> tuple[str, frozenset[str]]:
    """The requirement (``name==version``) and the allowed SHA-256 digests of the package in a lock file."""
    match = re.search(rf"^{PACKAGE}==\S+(?:\s*\\\n\s+--hash=sha256:\w+)+", lock, re.MULTILINE)
    if not match:
        raise BuildError(f"{LOCK_FILE} does not lock {PACKAGE} by hash; restore the file")
    return match[0].split()[0], frozenset(re.findall(r"sha256:(\w+)", match[0]))


def download(requirement: str, hashes: frozenset[str], work: Path) -> Path:
    """Fetch the source package with pip, which knows the index, proxy and CA of this machine.

    pip asks a source for its metadata, by the source's own build backend: the locked one, not the index's newest.
    """
    pins = work / "requirements.txt"
    pins.write_text(" ".join([requirement, *(f"--hash=sha256:{digest}" for digest in sorted(hashes))]))
    target, tools = work / "download", work / "tools"
    pip = [sys.executable, "-m", "pip"]
    locked = ["--no-deps", "--require-hashes", "--requirement"]
    run_step("download", [*pip, "install", *locked, str(BUILD_LOCK_FILE), "--target", str(tools)], work)
    fetch = [*pip, "download", "--no-build-isolation", "--no-binary", PACKAGE, *locked, str(pins)]
    run_step("download", [*fetch, "--dest", str(target)], work, {"PYTHONPATH": str(tools)})
    return next(target.iterdir())


def check_hash(archive: Path, hashes: frozenset[str]) -> None:
    """Raise unless the archive is a file that the lock file allows."""
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BuildError(f"{archive} cannot be read: {error.strerror}") from error
    if digest not in hashes:
        raise BuildError(f"{archive} has SHA-256 {digest}, which {LOCK_FILE.name} does not list")


def extract_source(archive: Path, work: Path) -> Path:
    """Unpack llama.cpp's part of the archive; returns its folder."""
    with tarfile.open(archive) as tar:
        root = tar.getnames()[0].split("/")[0]
        prefix = f"{root}/{SOURCE_IN_ARCHIVE}"
        skipped = tuple(prefix + folder for folder in SKIPPED_IN_SOURCE)
        members = [m for m in tar if m.name.startswith(prefix) and not m.name.startswith(skipped)]
        tar.extractall(work, members, filter="data")
    return work / prefix


def run_step(name: str, command: Sequence[str], work: Path, settings: Mapping[str, str] | None = None) -> None:
    """Run one command, showing its percentages; its output is shown only if it fails."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    # The build asks git for its version: not from a checkout that the temporary folder happens to be in.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(work), "NINJA_STATUS": "[%p] ", **(settings or {})}
    lines: list[str] = []
    shown = ""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line)
                percentage = re.match(r"\[ *(\d+%)\]", line)
                if percentage and percentage[1] != shown:
                    shown = percentage[1]
                    print(f"{name} {shown}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        tail = "".join(lines[-20:])
        raise BuildError(f"{name} failed with status {process.returncode}; its last lines:\n{tail}")


def install(file: Path, folder: Path) -> Path:
    """Put one file in place in one step, so that nobody ever meets half of it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = folder / f".{file.name}.{os.getpid()}"
    shutil.copy2(file, staged)
    staged.chmod(staged.stat().st_mode & 0o755)  # whatever the umask: what others may write is never started
    return staged.replace(folder / file.name)


def choose_products(*, library: bool, gpu: bool) -> tuple[Product, ...]:
    """The library is a CPU's: llama-cpp-python is what remains where nothing else runs."""
    if library:
        return (LIBRARY,)
    return (SERVER,) if gpu else (SERVER, LIBRARY)


def check_device(binary: Path) -> None:
    """Raise unless a server that was built for a GPU finds one.

    Raises:
        NoAnswer: it computes on the CPU, with what it says of devices.
    """
    done = subprocess.run([binary, "--list-devices"], capture_output=True, text=True, errors="replace")
    _, _, devices = done.stdout.partition("Available devices:")
    if not re.search(r"^\s+\w+: ", devices, re.MULTILINE):  # "  CUDA0: NVIDIA H200 (...)"; "  (none)" is none
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1].strip()
        raise NoAnswer(f"finds no GPU (--list-devices says: {said})", is_lasting=False)


def check_answer(binary: Path) -> None:
    """Ask the demo model's question; one that answers only without repacked weights is told of and taken.

    Raises:
        NoAnswer: it answers neither way.
    """
    models = Path(__file__).resolve().parents[2] / "models"
    failures: list[str] = []
    is_lasting = True
    for remedy in ({}, {"LLAMA_ARG_REPACK": "0"}):
        trial = try_engine([str(binary)], models, remedy)
        if trial.failure:
            is_lasting = is_lasting and trial.is_lasting
            failures.append(trial.failure)
            continue
        if failures:
            print(f"warning: the new llama-server {failures[0]}; it answers with LLAMA_ARG_REPACK=0", file=sys.stderr)
        return
    raise NoAnswer(failures[0], is_lasting=is_lasting)


if __name__ == "__main__":
    sys.exit(main())
