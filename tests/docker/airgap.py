"""An engine with an empty store and no network: it stands for the machine at the site that a bundle travels to.

It runs in a network namespace that ends with it, so nothing remains of it, not even after a killed test run. Its
containers and itself reach nothing but their own loopback. Needs root and an unpacked ``dockerd`` on this machine.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import docker
from docker import DockerClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from tests.waiting import wait_for

Store = Literal["overlay2", "containerd"]
STORES: tuple[Store, ...] = ("overlay2", "containerd")

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 60.0
# `ip netns exec` remounts /sys, and the engine then finds no devices cgroup; `unshare` leaves mounts alone.
_ENTER = ("unshare", "--net", "--mount", "--", "sh", "-c", 'ip link set lo up && {mount}exec "$@"', "sh")
# An engine syncs every layer that it takes, so its store lies in memory where there is plenty: a test took 17 s and
# its end 11 s, in memory 5 s and 1 s. The mount is the engine's own, and ends with it.
_STORE_BYTES, _PLENTY_BYTES = 6 << 30, 8 << 30


@dataclass(frozen=True, slots=True)
class AirgappedEngine:
    """The engine.

    Attributes:
        host: its DOCKER_HOST.
        pid: of dockerd; ``nsenter --net=/proc/PID/ns/net`` enters its network.
    """

    host: str
    pid: int
    store: Store

    def build_entry(self, *command: str) -> list[str]:
        """The command line that runs a command in the engine's network."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]

    def connect(self) -> DockerClient:
        """A client of it."""
        return docker.DockerClient(base_url=self.host, timeout=120)


def explain_no_airgap() -> str:
    """Why there can be none here; empty when there can."""
    if os.geteuid() != 0:
        return "that needs root"
    missing = [name for name in ("unshare", "ip", "nsenter") if not shutil.which(name)]
    return f"not installed: {', '.join(missing)}" if missing else "" if _find_dockerd() else "there is no dockerd"


@contextmanager
def airgapped_engine(store: Store, *, may_use_memory: bool = True) -> Iterator[AirgappedEngine]:
    """Start an engine with an empty store, and stop it and remove all of it at the end of the block."""
    # Not below pytest's folder: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="airgap-"))
    try:
        with (folder / "dockerd.log").open("wb") as log:
            process = _start(folder, store, log.fileno(), in_memory=may_use_memory and _has_plenty())
        try:
            engine = AirgappedEngine(f"unix://{folder}/docker.sock", process.pid, store)
            _wait_until_ready(engine, process, folder / "dockerd.log")
            yield engine
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder)


def _start(folder: Path, store: Store, log: int, *, in_memory: bool) -> subprocess.Popen[bytes]:
    config = folder / "daemon.json"
    config.write_text(json.dumps({"features": {"containerd-snapshotter": store == "containerd"}}), encoding="utf-8")
    dockerd = _find_dockerd()
    path = f"{Path(dockerd).parent}{os.pathsep}{Path(dockerd).parents[1] / 'bin'}{os.pathsep}{os.environ['PATH']}"
    data = folder / "data"
    data.mkdir()
    mount = f"mount -t tmpfs -o size={_STORE_BYTES} store {shlex.quote(str(data))} && " if in_memory else ""
    places = ("--data-root", str(data), "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/dockerd.pid")
    return subprocess.Popen(
        [
            *(part.replace("{mount}", mount) for part in _ENTER),
            dockerd,
            *places,
            "--config-file",
            str(config),
            "-H",
            f"unix://{folder}/docker.sock",
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path},
        start_new_session=True,
        preexec_fn=_end_with_the_tests(),
    )


def _has_plenty() -> bool:
    """Whether this machine has so much memory that a store is no matter."""
    facts = Path("/proc/meminfo").read_text(encoding="ascii")
    available = re.search(r"^MemAvailable:\s+(\d+) kB$", facts, re.MULTILINE)
    return available is not None and int(available[1]) << 10 >= _PLENTY_BYTES


def _end_with_the_tests() -> Callable[[], None]:
    """For the child: a signal to stop when the test run dies, however it dies."""
    libc, set_signal = ctypes.CDLL(None), 1  # PR_SET_PDEATHSIG

    def ask() -> None:
        libc.prctl(set_signal, signal.SIGTERM)

    return ask


def _find_dockerd() -> str:
    """The engine's program: on PATH, or beside the client of scripts/docker-engine.sh."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("STACK_DOCKER_DIR") or cache / "stack-docker")
    return shutil.which("dockerd", path=f"{os.environ['PATH']}{os.pathsep}{folder}/root/usr/sbin") or ""


def _wait_until_ready(engine: AirgappedEngine, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, f"dockerd ended:\n{log.read_text(errors='replace')[-3000:]}"
        try:
            client = engine.connect()
        except (DockerException, RequestException):
            return False
        client.close()
        return True

    wait_for(answers, f"the {engine.store} engine answers", _START_DEADLINE_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
