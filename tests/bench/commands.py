"""Commands as a user runs them, with their time and memory, and the plain tools that they are compared with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.disk import MIB

STACKCTL = str(Path(sys.executable).with_name("stackctl"))


@dataclass(frozen=True, slots=True)
class Run:
    """One command: wall time, and the most memory it held."""

    seconds: float
    peak_mib: float


def run(argv: Sequence[str], **environment: str) -> Run:
    """Run a command that must succeed.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **environment}
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{argv}: {said.decode()}")
    return Run(time.perf_counter() - started, usage.ru_maxrss / 1024)


def run_json(argv: Sequence[str], **environment: str) -> dict[str, object]:
    """The report of a command that must succeed."""
    done = subprocess.run(argv, check=True, capture_output=True, env={**os.environ, **environment})
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def run_shell(script: str, *arguments: str, **environment: str) -> float:
    """Seconds of a shell's pipeline that must succeed, until its bytes are on the disk."""
    argv = ["bash", "-c", f"set -euo pipefail; {script}; sync", "bash", *arguments]
    return run(argv, **environment).seconds


def measure_seconds(action: Callable[[], object]) -> float:
    """Wall time of a call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def copy(sources: Sequence[Path], folder: Path) -> float:
    """Seconds until ``cp``'s copies in a new folder are on the disk; they are removed again."""
    folder.mkdir()
    seconds = run_shell('cp "$@"', *map(str, sources), str(folder))
    shutil.rmtree(folder)
    return seconds


def hash_file(path: Path) -> str:
    """Its SHA-256, by the standard library's own loop."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_seconds(runs: Sequence[Run]) -> float:
    """The median."""
    return median(item.seconds for item in runs)


def find_peak(runs: Sequence[Run]) -> float:
    """MiB of memory, of the run that held most."""
    return max(item.peak_mib for item in runs)


def write_rate(size_bytes: int, seconds: float) -> str:
    """``4.2 s (1950 MiB/s)``."""
    return f"{seconds:.1f} s ({size_bytes / MIB / seconds:.0f} MiB/s)"
