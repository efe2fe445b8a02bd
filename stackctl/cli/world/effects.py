"""The adapters that every operation may use, put together. Constructs them; I/O begins when they are called."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stackctl
from stackctl.adapters.files import site_files
from stackctl.adapters.http import service_calls
from stackctl.adapters.machine import commands, host, limits, processes
from stackctl.adapters.machine.commands import run_command
from stackctl.adapters.machine.interrupts import hold_interrupts
from stackctl.adapters.process.engine_store import EngineStore
from stackctl.cli.world.runtimes import SiteRuntimes
from stackctl.core.stack.names import SOCKET_ROOT
from stackctl.operations.effects import Effects, Given, Paths, Terminal

if TYPE_CHECKING:
    from stackctl.core.access.replies import AdminReply
    from stackctl.core.machine.gpu import GpuMemory
    from stackctl.core.machine.host import Host
    from stackctl.core.models.files import ModelFile


def build_effects(site: Path, flags: Mapping[str, str], terminal: Terminal) -> Effects:
    """The real adapters for one operation on a site."""
    data_root, cache_dir = site_files.find_data_root(), site_files.find_cache_dir(os.environ)
    launcher = Path(stackctl.__file__).parent / "programs" / "launch.py"
    paths = Paths(site, data_root, cache_dir, sys.executable, launcher)
    files, engines = _Files(), EngineStore(cache_dir, data_root)
    return Effects(
        paths=paths,
        given=Given(os.environ, flags),
        files=files,
        machine=_Machine((site, cache_dir, Path(SOCKET_ROOT))),
        engines=engines,
        runtimes=SiteRuntimes(paths, files, engines),
        network=_Network(),
        terminal=terminal,
        clock=_Clock(),
    )


class _Files:
    """The disk of this machine."""

    load_text = staticmethod(site_files.load_text)
    save_text = staticmethod(site_files.save_text)
    remove_file = staticmethod(site_files.remove_file)
    is_link = staticmethod(Path.is_symlink)
    find_real = staticmethod(site_files.find_real)
    is_same_file = staticmethod(site_files.is_same_file)
    load_facts = staticmethod(host.load_file_facts)
    hash_folder = staticmethod(site_files.hash_folder)
    hold_lock = staticmethod(site_files.hold_lock)

    def load_model_files(self, path: Path) -> tuple[ModelFile, ...]:
        from stackctl.adapters.models import gguf  # with all that models' files can hold, which few commands read

        return gguf.load_model_files(path)


@dataclass(frozen=True, slots=True)
class _Machine:
    """This machine: its host, processes, memory and signals.

    Attributes:
        folders: paths whose disks a host is asked about.
    """

    folders: tuple[Path, ...]

    def load_host(self, with_docker: bool) -> Host:
        # Without Docker's answer it is the quicker by 0.3 s.
        find = shutil.which if with_docker else (lambda name: None if name.startswith("docker") else shutil.which(name))
        return host.load_host(run_command, self.folders, find_program=find)

    def load_gpu_memory(self) -> GpuMemory:
        return processes.load_gpu_memory(run_command, shutil.which)

    def make_key(self) -> str:
        return f"sk-{secrets.token_urlsafe(32)}"

    load_memory_bytes = staticmethod(host.load_memory_bytes)
    load_limits = staticmethod(limits.load_limits)
    load_cpu_features = staticmethod(processes.load_cpu_features)
    load_resident_bytes = staticmethod(processes.load_resident_bytes)
    list_ancestors = staticmethod(processes.list_ancestors)
    find_program = staticmethod(commands.find_program)
    hold_interrupts = staticmethod(hold_interrupts)


class _Network:
    """Services of this stack over HTTP."""

    fetch = staticmethod(service_calls.fetch)
    stream_chat = staticmethod(service_calls.stream_chat)

    def post_action(self, url: str, key: str, action: Mapping[str, Any], timeout_s: float) -> AdminReply | None:
        from stackctl.adapters.http.admin_calls import post_action  # with httpx, which costs every other command 0.1 s

        return post_action(url, key, action, timeout_s)


class _Clock:
    """The system's clock that never goes back, and the one that tells the date."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def now(self) -> datetime:
        return datetime.now(UTC)
