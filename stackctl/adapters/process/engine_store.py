"""The engines of this machine: where builds of them are, what came of asking each, and the asking itself.

Does I/O. Records and builds are in the user's cache, shared between sites. A record is named by what decides whether an
engine works: its files, the variables of its form, this CPU, the kernel and its GPU driver.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.files.site_files import load_text, save_text
from stackctl.adapters.machine.commands import run_command
from stackctl.adapters.machine.processes import load_cpu_model
from stackctl.adapters.process import environments
from stackctl.adapters.process.engine_build import (
    BUILD_FILE,
    BUILD_SCRIPT,
    has_device,
    is_built,
    load_toolkit,
    make_build,
)
from stackctl.core.engine.build import Build, Toolkit, parse_build
from stackctl.core.engine.engines import ENGINE_FOLDER
from stackctl.core.engine.trial import EngineRecord, TrialResult, parse_record, parse_trial, write_record
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from stackctl.core.engine.choice import EngineForm

# Twice the trial's own deadline, for an engine that is asked again under a debugger, and the stops.
TRIAL_TIMEOUT_S = 300.0
# A launcher is known by its content, so that every checkout's is the same; a binary by size and time.
_SMALL_BYTES = 1 << 20


class EngineStore:
    """The engines that this user's machine has, and what is known of them.

    Args:
        cache_dir: folder that outlives sites.
        data_root: folder that has the project's ``services`` and ``models``.
    """

    def __init__(self, cache_dir: Path, data_root: Path) -> None:
        self._cache_dir = cache_dir
        self._data_root = data_root
        self._passing: dict[str, EngineRecord] = {}

    def find_build(self, build: Build) -> Path:
        """Folder of a build of llama.cpp, whether it was made yet or not."""
        return find_build(self._cache_dir, self._data_root, build)

    def find_environment(self, lock: Path, variables: Mapping[str, str]) -> Path:
        """Folder of the virtual environment of a lock file, whether it was made yet or not."""
        return environments.find_environment(self._cache_dir, lock, variables)

    def list_gpu_builds(self) -> tuple[Build, ...]:
        """Finished builds of today's source for kinds of GPU of which this machine has a device, sorted by name."""
        found = []
        for file in sorted((self._cache_dir / "llama.cpp").glob(f"*/{BUILD_FILE}")):
            build = parse_build(load_text(file))
            if build and build.kind and self.find_build(build) == file.parent and has_device(build.kind):
                with suppress(RuntimeFailure):  # one that others may have put there is none of ours
                    found += [build] if is_built(file.with_name("llama-server")) else []
        return tuple(found)

    def has_device(self, kind: str) -> bool:
        """Whether this machine shows a GPU of this kind, without asking its driver, which may take seconds."""
        return has_device(kind)

    def load_toolkit(self, kind: str) -> Toolkit:
        """The compiler that this machine has for a kind of GPU, and what is missing beside it."""
        return load_toolkit(kind)

    def make(self, file: Path, build: Build, index_url: str, on_line: Callable[[str], None]) -> None:
        """Build ``file``, ``llama-server`` or ``libllama.so``, in its build's folder, or do nothing when it is there.

        Raises:
            EngineRefused: the engine was built, and does not answer here.
            RuntimeFailure: the engine could not be built; has the end of the output.
        """
        make_build(file, build, self._data_root, index_url, on_line)

    def load_record(self, form: EngineForm, gpu: bool) -> EngineRecord | None:
        """What is known of an engine's form; ``None`` when it was not asked on this machine."""
        name = self._name_record(form, gpu)
        return self._passing.get(name) or parse_record(load_text(self._find_record(name)))

    def save_record(self, form: EngineForm, gpu: bool, record: EngineRecord, lasting: bool) -> None:
        """Keep a record for every later command, or for this one only where the next may see something else."""
        name = self._name_record(form, gpu)
        self._passing[name] = record
        if lasting:
            path = self._find_record(name)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            save_text(path, write_record(record), 0o600)

    def forget_record(self, form: EngineForm, gpu: bool) -> None:
        """Make the next command ask a form again: another build stands where it stood."""
        name = self._name_record(form, gpu)
        self._passing.pop(name, None)
        self._find_record(name).unlink(missing_ok=True)

    def ask(self, command: Sequence[str], environment: Mapping[str, str]) -> TrialResult:
        """Start an engine with the demo model, ask the demo's question, stop it.

        Args:
            command: the engine's command without model, address, context and slots, which are added.
            environment: variables for the engine beside this process's own.
        """
        return ask_engine(self._data_root, command, environment)

    def _name_record(self, form: EngineForm, gpu: bool) -> str:
        content = [
            form.engine.name,
            [_identify(item, self._cache_dir) for item in form.command],
            sorted(form.environment.items()),
            load_cpu_model(),
            platform.release(),
            _load_driver_version() if gpu else "",
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]

    def _find_record(self, name: str) -> Path:
        return self._cache_dir / "trials" / f"{name}.json"


def ask_engine(data_root: Path, command: Sequence[str], environment: Mapping[str, str]) -> TrialResult:
    """Start an engine with the demo model, ask the demo's question, stop it: ``EngineStore.ask`` without a store."""
    script = data_root / ENGINE_FOLDER / "engine_trial.py"
    argv = [sys.executable, "-I", str(script), "--models", str(data_root / "models"), "--", *command]
    done = run_command(argv, TRIAL_TIMEOUT_S, environment)
    return parse_trial(done.stdout) or TrialResult(f"could not be asked: {done.render_failure()}", is_lasting=False)


def find_build(cache_dir: Path, data_root: Path, build: Build) -> Path:
    """Folder of a build of llama.cpp; its name changes with the source, the recipe and what it is built for."""
    folder = data_root / ENGINE_FOLDER
    digest = hashlib.sha256()
    for name in ("requirements.lock", BUILD_SCRIPT, "llama_cpp_build.cmake"):
        digest.update((folder / name).read_bytes())
    cpu = load_cpu_model() if build.is_for_this_cpu else ""
    digest.update(json.dumps([build.arguments, build.compiler, cpu]).encode())
    return cache_dir / "llama.cpp" / f"{build.name}-{digest.hexdigest()[:16]}"


def _identify(item: str, cache_dir: Path) -> list[str]:
    """Values that tell one file from another of the same name; what we made is named by its content already."""
    path = Path(item)
    if path.is_relative_to(cache_dir):
        return [item]
    try:
        facts = path.stat()
        if facts.st_size <= _SMALL_BYTES:
            return [hashlib.sha256(path.read_bytes()).hexdigest()]
        return [str(path.resolve()), str(facts.st_size), str(facts.st_mtime_ns)]
    except OSError:
        return [item]


def _load_driver_version() -> str:
    """Version of the NVIDIA driver, empty where there is none; AMD's and Intel's are the kernel's own."""
    return load_text(Path("/sys/module/nvidia/version")) or ""
