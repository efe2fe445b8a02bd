"""Whether a bundle can be loaded here, before anything is written. Pure: values in, findings out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.text.progress import write_size
from stackctl.errors import Finding, Severity

ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that a bundle is compared with.

    Attributes:
        os: name of the operating system, as the kernel says it, in lower case: "linux".
        architecture: name of the processor, as the kernel says it: "x86_64".
        python: version of Python, such as "3.11".
        stackctl: version of this program.
        docker: version of the Docker engine that answers; empty where none does.
        glibc: version of the C library; empty where it is another library.
        driver: version of the NVIDIA driver; empty where there is none.
    """

    os: str
    architecture: str
    python: str
    stackctl: str
    docker: str
    glibc: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that is written to.

    Attributes:
        title: what is written to the file system, in words.
        device: text that tells file systems apart.
    """

    title: str
    path: str
    device: int
    free_bytes: int
    needed_bytes: int


def check_machine(manifest: Manifest, machine: Machine) -> Iterator[Finding]:
    """Whether this machine is of the kind that the bundle was packed for."""
    wanted = manifest.platform
    architecture = ARCHITECTURES.get(machine.architecture.lower(), machine.architecture)
    if machine.os != wanted.os:
        yield Finding("os", f"this machine runs {machine.os}; the bundle is for {wanted.os}", "load it on another one")
    if architecture != wanted.architecture:
        message = f"this machine is {architecture}; the bundle is for {wanted.architecture}"
        yield Finding("architecture", message, "pack a bundle for this architecture, or load it on another machine")
    can_compose = "compose" in manifest.runtimes and bool(machine.docker)
    if not can_compose and "process" not in manifest.runtimes:
        message = "no Docker engine answers, and the bundle has no parts for the process runtime"
        hint = "start Docker, or pack again with --include-process-runtime"
        yield Finding("runtime", message, hint)
    yield from _check_docker(manifest, machine)
    yield from _check_python(manifest, machine, is_needed=not can_compose)
    yield from _check_engine(manifest, machine, is_needed=not can_compose)
    if machine.stackctl != manifest.requires.stackctl:
        message = f"stackctl {manifest.requires.stackctl} packed it; this is {machine.stackctl}"
        hint = "run the bundle's 'sh bootstrap/install.sh', which installs the stackctl that belongs to it"
        yield Finding("stackctl", message, hint, Severity.WARNING)


def _check_docker(manifest: Manifest, machine: Machine) -> Iterator[Finding]:
    lowest = manifest.requires.docker
    if machine.docker and manifest.images and _parse_version(machine.docker) < _parse_version(lowest):
        yield Finding(
            "docker", f"the engine has version {machine.docker}; the bundle needs {lowest} or newer", "update it"
        )


def _check_python(manifest: Manifest, machine: Machine, *, is_needed: bool) -> Iterator[Finding]:
    if "process" not in manifest.runtimes or machine.python in manifest.platform.python:
        return
    message = (
        f"stackctl runs on Python {machine.python}; the bundle's wheels are for {', '.join(manifest.platform.python)}"
    )
    severity = Severity.ERROR if is_needed else Severity.WARNING
    hint = "put one of those on PATH and run the bundle's 'sh bootstrap/install.sh' again"
    yield Finding("python", message + "; the process runtime cannot be installed from it", hint, severity)


def _check_engine(manifest: Manifest, machine: Machine, *, is_needed: bool) -> Iterator[Finding]:
    """Whether the engine that the bundle brings for the process runtime can run here."""
    engine, severity = manifest.engine, Severity.ERROR if is_needed else Severity.WARNING
    if engine is None:
        return
    if engine.glibc and _parse_version(machine.glibc) < _parse_version(engine.glibc):
        message = f"this machine has glibc {machine.glibc or 'of another kind'}; {engine.title} needs {engine.glibc}"
        hint = "pack an engine that was built on an older Linux, or load the bundle on a newer one"
        yield Finding("glibc", f"{message} or newer", hint, severity)
    if engine.driver and not machine.driver:
        message = f"no NVIDIA driver is loaded here; {engine.title} needs {engine.driver} or newer"
        yield Finding("driver", message, "install the driver before 'stackctl up'", Severity.WARNING)
    elif engine.driver and _parse_version(machine.driver) < _parse_version(engine.driver):
        message = f"the NVIDIA driver here is {machine.driver}; {engine.title} needs {engine.driver} or newer"
        yield Finding("driver", message, "update the driver, or pack an engine for an older CUDA", severity)


def check_version(manifest: Manifest, installed: Manifest | None, *, allow_downgrade: bool) -> Iterator[Finding]:
    """Whether the bundle is newer than what is current; another bundle of the same version is not."""
    if installed is None or installed.id == manifest.id:
        return
    if installed.name != manifest.name:
        message = f"the site runs {installed.name}; the bundle is of {manifest.name}"
        yield Finding("name", message, "load it into a site of its own: --site FOLDER")
    elif manifest.version < installed.version and not allow_downgrade:
        message = f"the bundle has version {manifest.version}; version {installed.version} is installed"
        yield Finding("version", message, "give --allow-downgrade, or go back with 'stackctl offline-rollback'")
    elif manifest.version == installed.version:
        # Nobody can tell which of the two is the newer one: to take it may be a step back.
        message = f"version {manifest.version} is installed with other content ({installed.short_id})"
        severity = Severity.WARNING if allow_downgrade else Severity.ERROR
        hint = "ask whoever packs which one is meant; --allow-downgrade takes this one"
        yield Finding("version", message, hint, severity)


def check_space(disks: list[Disk]) -> Iterator[Finding]:
    """Whether everything fits on its disks, also where several needs meet on one file system."""
    for device in dict.fromkeys(disk.device for disk in disks):
        here = [disk for disk in disks if disk.device == device]
        needed = sum(disk.needed_bytes for disk in here)
        if needed > here[0].free_bytes:
            what = " and ".join(f"{write_size(disk.needed_bytes)} for {disk.title}" for disk in here)
            message = f"{write_size(here[0].free_bytes)} are free; needed are {what}"
            yield Finding(here[0].path, message, f"free {write_size(needed - here[0].free_bytes)} there")


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
