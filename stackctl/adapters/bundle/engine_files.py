"""Look at a ``llama-server`` that a bundle is to carry: the libraries it loads, its version and devices, what it needs.

In: the program's path. Out: ``EngineFacts``. Does I/O: the engine is run; whoever packs an engine trusts it already,
and one that does not start here is not packed.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from stackctl.adapters.files.site_files import load_text
from stackctl.adapters.machine.commands import run_command
from stackctl.core.bundle.pack.engine_files import (
    EngineFacts,
    Library,
    find_glibc,
    find_least_driver,
    parse_devices,
    parse_libraries,
    parse_version,
)
from stackctl.errors import BundleError

DRIVER_VERSION = Path("/sys/module/nvidia/version")
_TIMEOUT_S = 60.0
_ELF = b"\x7fELF"
_HINT = "give --engine a llama-server that runs on this machine"


def inspect_engine(program: Path) -> EngineFacts:
    """Run an engine and gather what a bundle says of it.

    Raises:
        BundleError: the file is no program for this machine, a library is missing, or the engine does not say its
            version.
    """
    path = _find_program(program)
    libraries = _list_libraries(path)
    missing = [item.name for item in libraries if not item.path]
    if missing:
        hint = "install what is missing; libcuda and libnvidia-* come with the NVIDIA driver, so pack where it is"
        raise BundleError(f"{program} does not start here: {', '.join(missing)} is not found.", hint)
    version = _ask_version(program, path)
    listed = run_command([str(path), "--list-devices"], _TIMEOUT_S)
    carried = [Path(item.path) for item in libraries if item.licence]
    minor = max(_read_glibc(item) for item in (path, *carried))
    return EngineFacts(
        program=str(path),
        version=version,
        devices=parse_devices(listed.stdout + listed.stderr),
        libraries=libraries,
        glibc=f"2.{minor}" if minor else "",
        driver=find_least_driver(libraries, load_driver_version()),
    )


def _find_program(program: Path) -> Path:
    """The file itself, if it is a program for Linux."""
    try:
        path = program.resolve(strict=True)
        if not path.is_file() or not os.access(path, os.X_OK):
            raise BundleError(f"{program} is no program that can be run.", _HINT)
        with path.open("rb") as file:
            head = file.read(len(_ELF))
    except OSError as error:
        raise BundleError(f"{program} cannot be read: {error.strerror}.", _HINT) from error
    if head.startswith(b"#!"):  # its libraries and its program would stay behind
        raise BundleError(f"{program} is a script.", "name the llama-server that it starts")
    if head != _ELF:
        raise BundleError(f"{program} is no program for Linux.", _HINT)
    return path


def _ask_version(program: Path, path: Path) -> str:
    told = run_command([str(path), "--version"], _TIMEOUT_S)
    version = parse_version(told.stdout + told.stderr)
    if told.code or not version:
        raise BundleError(f"{program} is no llama-server: asked its version, {told.render_failure()}", _HINT)
    return version


def load_driver_version() -> str:
    """Version of this machine's NVIDIA driver; empty where there is none."""
    return (load_text(DRIVER_VERSION) or "").strip()


def _list_libraries(program: Path) -> tuple[Library, ...]:
    """Libraries of the program, and of the backends beside it that it loads when it starts."""
    beside = sorted(path for path in program.parent.glob("libggml-*.so") if path.is_file())
    found: dict[str, Library] = {path.name: Library(path.name, str(path)) for path in beside}
    for path in (program, *beside):
        done = run_command(["ldd", str(path)], _TIMEOUT_S)
        # ldd ends with 1 for a program without libraries; other files are told apart when they are run.
        found |= {item.name: item for item in parse_libraries(done.stdout)}
    return tuple(found[name] for name in sorted(found))


def _read_glibc(path: Path) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return find_glibc(data)
