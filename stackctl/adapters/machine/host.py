"""Read the facts of this machine: memory, disks, GPUs, Docker and listening ports.

In: a command runner and the root under which ``/proc``, ``/sys``, ``/dev`` and ``/etc`` are found. Out: one
``Host``. Reads only; asks the Docker and NVIDIA command lines, each with a time limit and side by side,
because an engine that hangs must not make ``doctor`` hang.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stackctl.adapters.machine.limits import count_usable_cpus, load_limits
from stackctl.adapters.machine.ports import load_ports
from stackctl.core.health.doctor_input import FileFacts
from stackctl.core.machine import gpu as nvidia
from stackctl.core.machine.docker_endpoint import ENDPOINT_QUESTION, parse_endpoint
from stackctl.core.machine.docker_facts import DockerFacts, parse_docker_info
from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.host import DiskSpace, Host

if TYPE_CHECKING:
    from stackctl.core.stack.runtime import CompletedCommand

Runner = Callable[[Sequence[str], float], "CompletedCommand"]
FindProgram = Callable[[str], str | None]

# A healthy engine answers in 0.1 s, and one that builds and starts containers on a busy machine took over 8 s;
# nvidia-smi takes 1 to 3 s while the driver wakes a GPU.
DOCKER_TIMEOUT_S: Final = 20.0
NVIDIA_TIMEOUT_S: Final = 8.0

_DOCKER_INFO: Final = ("info", "--format", "{{json .}}")
_SHORT_VERSION: Final = ("version", "--short")
_AMD: Final = "0x1002"
_NVIDIA: Final = "0x10de"
_WSL_PROGRAMS: Final = ("usr/lib/wsl/lib/nvidia-smi",)


def load_host(
    run: Runner,
    paths: Iterable[Path] = (),
    root: Path = Path("/"),
    find_program: FindProgram = shutil.which,
) -> Host:
    """Read this machine.

    Args:
        run: runs one command with a time limit in seconds; its code is 127 for an absent program, 124 for a time-out.
        paths: paths whose disks' free space is wanted; they need not exist yet.
        root: folder under which the machine's files are; a folder of a test's own stands for a whole machine.
        find_program: finds a program on PATH.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        docker = pool.submit(_load_docker, run, find_program, pool)
        nvidia_facts = pool.submit(_load_nvidia, run, find_program, root, pool)
        ports = pool.submit(load_ports, root)
        disks = {str(path): load_disk(path, root) for path in paths}
        memory = _load_memory(root)
        gpus, problem, cuda = nvidia_facts.result()
        return Host(
            system=platform.system(),
            kernel=_read(root / "proc/sys/kernel/osrelease").strip() or platform.release(),
            cpu_count=count_usable_cpus(),
            memory_total_bytes=memory.get("MemTotal", 0),
            memory_available_bytes=memory.get("MemAvailable", 0),
            disks=disks,
            gpus=(*gpus, *_load_drm_gpus(root)),
            gpu_problem=problem,
            cuda_version=cuda,
            has_kfd=(root / "dev/kfd").exists(),
            docker=docker.result(),
            has_nvidia_toolkit=find_program("nvidia-ctk") is not None,
            cdi_specs=_list_cdi_specs(root),
            ports=ports.result(),
            limits=load_limits(root),
        )


def load_memory_bytes(root: Path = Path("/")) -> int:
    """The machine's memory in bytes; 0 where it is not known."""
    return _load_memory(root).get("MemTotal", 0)


def load_disk(path: Path, root: Path = Path("/")) -> DiskSpace:
    """Free space where ``path`` is, or would be: the nearest folder above it that exists is asked."""
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    file_system = _find_file_system(existing.resolve(), _read(root / "proc/self/mounts"))
    return DiskSpace(free, file_system, os.access(existing, os.W_OK | os.X_OK))


def load_file_facts(path: Path, head_bytes: int = 0) -> FileFacts:
    """Permissions, owner and identity of a file and, when asked for, its first bytes; an absent file has no mode."""
    try:
        status = path.stat()
    except OSError:
        return FileFacts(str(path))
    facts = FileFacts(
        str(path),
        status.st_mode & 0o7777,
        user_id=status.st_uid,
        group_id=status.st_gid,
        identity=[status.st_size, status.st_mtime_ns, status.st_ino],
        # A link that leads elsewhere now is as new as the link.
        age_s=time.time() - max(status.st_ctime, path.lstat().st_ctime),
    )
    try:
        with path.open("rb") as file:
            return replace(facts, head=file.read(head_bytes))
    except OSError:
        return facts


def _find_file_system(path: Path, mounts: str) -> str:
    """Type of the file system with the longest mount point above ``path``."""
    best, kind = "", ""
    for line in mounts.splitlines():
        _, point, mounted, *_ = [*line.split(" "), "", "", ""]
        # Mount points are written with spaces as \040.
        point = point.replace("\\040", " ")
        if path.is_relative_to(point or "/none") and len(point) >= len(best):
            best, kind = point, mounted
    return kind


def _load_memory(root: Path) -> dict[str, int]:
    """Bytes by name from ``/proc/meminfo``, whose figures are KiB."""
    sizes = {}
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        figure = rest.split()
        if figure and figure[0].isdecimal():
            sizes[name] = int(figure[0]) * 1024
    if not sizes and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        sizes = {"MemTotal": total, "MemAvailable": total}
    return sizes


def find_nvidia_smi(find_program: FindProgram, root: Path = Path("/")) -> str | None:
    """The NVIDIA driver's program: on PATH, or where Windows puts it into its Linux."""
    on_wsl = (str(root / path) for path in _WSL_PROGRAMS if (root / path).exists())
    return find_program("nvidia-smi") or next(on_wsl, None)


def _load_nvidia(
    run: Runner, find_program: FindProgram, root: Path, pool: ThreadPoolExecutor
) -> tuple[tuple[Gpu, ...], str, tuple[int, ...]]:
    """GPUs, why there are none although there should be, and the newest CUDA that the driver runs."""
    program = find_nvidia_smi(find_program, root)
    if program is None:
        return (), _explain_missing_driver(root), ()
    listing = pool.submit(run, (program, *nvidia.NVIDIA_LIST[1:]), NVIDIA_TIMEOUT_S)
    banner = pool.submit(run, (program,), NVIDIA_TIMEOUT_S)
    query = run((program, *nvidia.NVIDIA_QUERY[1:]), NVIDIA_TIMEOUT_S)
    gpus = nvidia.add_slices(nvidia.parse_nvidia_smi(query.stdout), nvidia.parse_mig_slices(listing.result().stdout))
    cuda = nvidia.parse_cuda_version(banner.result().stdout)
    if gpus:
        return gpus, "", cuda or nvidia.find_driver_cuda(gpus[0].driver_version)
    output = query.stdout + query.stderr
    problem = nvidia.explain_smi_failure(output) or query.render_failure().replace("\n", " ")
    return (), problem, cuda


def _explain_missing_driver(root: Path) -> str:
    """A sentence when there is NVIDIA hardware and no driver for it."""
    vendors = (_read(file).strip() for file in sorted((root / "sys/bus/pci/devices").glob("*/vendor")))
    if _NVIDIA in vendors:
        return "an NVIDIA device is there, but nvidia-smi is not: the driver is not installed"
    return ""


def _load_drm_gpus(root: Path) -> tuple[Gpu, ...]:
    """AMD and other GPUs with a render device; NVIDIA's own are found through ``nvidia-smi``."""
    gpus: list[Gpu] = []
    for card in sorted((root / "sys/class/drm").glob("renderD*")):
        device = root / "dev/dri" / card.name
        vendor = _read(card / "device/vendor").strip()
        if not device.exists() or vendor == _NVIDIA:
            continue
        total, used = (_read(card / f"device/mem_info_vram_{name}").strip() for name in ("total", "used"))
        name = _read(card / "device/product_name").strip()
        gpus.append(
            Gpu(
                kind="amd" if vendor == _AMD else "vulkan",
                index=len(gpus),
                name=name or ("AMD GPU" if vendor == _AMD else f"GPU of vendor {vendor or 'unknown'}"),
                memory_total_bytes=int(total) if total.isdecimal() else 0,
                memory_used_bytes=int(used) if used.isdecimal() else None,
                device=f"/dev/dri/{card.name}",
            )
        )
    return tuple(gpus)


def _list_cdi_specs(root: Path) -> tuple[str, ...]:
    folders = (root / "etc/cdi", root / "var/run/cdi")
    return tuple(
        file.name
        for folder in folders
        for file in sorted(folder.glob("*"))
        if file.suffix in (".yaml", ".yml", ".json")
    )


def _load_docker(run: Runner, find_program: FindProgram, pool: ThreadPoolExecutor) -> DockerFacts | None:
    """What the Docker command line says; None where there is none."""
    legacy, docker = find_program("docker-compose"), find_program("docker")
    found = run((legacy, *_SHORT_VERSION), DOCKER_TIMEOUT_S).stdout.strip() if legacy else ""
    # Compose 2 is also shipped under the old name.
    legacy_version = found if found.lstrip("v").startswith("1.") else ""
    if docker is None:
        # A lone docker-compose 1.x is worth naming; nothing at all is no Docker.
        problem = "there is no docker command"
        return DockerFacts(problem=problem, legacy_compose_version=legacy_version) if legacy_version else None
    compose = pool.submit(run, (docker, "compose", *_SHORT_VERSION), DOCKER_TIMEOUT_S)
    context = pool.submit(run, (docker, *ENDPOINT_QUESTION), DOCKER_TIMEOUT_S)
    info = run((docker, *_DOCKER_INFO), DOCKER_TIMEOUT_S)
    done, endpoint = compose.result(), context.result()
    return replace(
        parse_docker_info(info.stdout, info.stderr),
        legacy_compose_version=legacy_version,
        compose_version=done.stdout.strip() if done.code == 0 else "",
        endpoint=parse_endpoint(endpoint.stdout if endpoint.code == 0 else ""),
    )


def _read(path: Path) -> str:
    """A small file's text; empty when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
