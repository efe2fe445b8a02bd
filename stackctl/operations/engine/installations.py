"""Where the process runtime finds its programs, and which of them this machine has to get before it can start.

In: a loaded site. Out: ``Installation`` and ``RuntimePaths`` values. Reads through its effects; installs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.apps.app import OwnProgram
from stackctl.core.apps.catalog import list_own_services
from stackctl.core.engine.engines import ENGINE_FOLDER, LIBRARY_VARIABLE
from stackctl.core.engine.vllm import SERVE
from stackctl.core.stack.names import GATEWAY, GATEWAY_CONFIG
from stackctl.core.stack.stack import RuntimePaths

if TYPE_CHECKING:
    from stackctl.core.engine.build import Build
    from stackctl.core.engine.choice import EngineChoice
    from stackctl.core.settings.settings import Settings
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.operations.effects import Effects, Machine

# Of a service's folder: the hashed requirements of its environment.
LOCK = "requirements.lock"


@dataclass(frozen=True, slots=True)
class Installation:
    """Something that the process runtime needs on this machine before it can start.

    Attributes:
        target: path of the program that is there when the installation is.
        lock: path of the environment's hashed requirements; None for what is built from source.
        variables: variables that the installation needs.
        build: how the program is built; None for an environment.
    """

    title: str
    target: Path
    lock: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    build: Build | None = None


def list_installations(data_root: Path, loaded: LoadedSite) -> tuple[Installation, ...]:
    """What the process runtime of this site needs: the environments of the gateway and of the apps that are the
    stack's own, and the engine's or its binary.
    """
    services = data_root / "services"
    found = [Installation(GATEWAY, Path(loaded.paths.gateway_command[0]), services / GATEWAY / LOCK)]
    found += [
        Installation(name, Path(app.python), services / name / LOCK) for name, app in loaded.paths.own_apps.items()
    ]
    if not loaded.process.uses_engine:
        return tuple(found)
    form = loaded.choice.form
    engine, program = form.engine, Path(form.command[0])
    if engine.lock_file is not None:
        lock = data_root / ENGINE_FOLDER / engine.lock_file
        found.append(Installation(engine.name, program, lock, engine.install_variables))
        program = Path(form.environment.get(LIBRARY_VARIABLE, "")) / "libllama.so"
    if form.build is not None:
        found.append(Installation(program.name, program, build=form.build))
    return tuple(found)


def find_vllm(machine: Machine, settings: Settings) -> str:
    """Path of the vllm program that the process runtime starts; empty where there is none."""
    return machine.find_program(settings.vllm_program or SERVE[0]) or ""


def build_runtime_paths(
    effects: Effects, settings: Settings, choice: EngineChoice, cpus: int | None, certificate_mark: str = ""
) -> RuntimePaths:
    """Where a process finds each program: in an environment made from the service's lock, or as a binary.

    Args:
        cpus: processors that processes here are bounded to, None where it is by no fewer than there are cores.
    """
    services = effects.paths.data_root / "services"
    gateway = effects.engines.find_environment(services / GATEWAY / LOCK, {})
    return RuntimePaths(
        runtime="process",
        engine_command=choice.form.command,
        engine_environment=choice.environment,
        engine_threads=cpus,
        vllm_command=(find_vllm(effects.machine, settings) or SERVE[0], *SERVE[1:]),
        vllm_modules=str(effects.paths.data_root / ENGINE_FOLDER),
        gateway_command=(str(gateway / "bin" / "python"), "-m", "gateway"),
        python_path=str(services / GATEWAY),
        gateway_source=effects.files.hash_folder(services / GATEWAY),
        gateway_config=str(effects.paths.rendered_dir / GATEWAY_CONFIG),
        gateway_state=str(effects.paths.state_dir / "gateway"),
        programs=str(Path(effects.paths.python).parent),
        certificate_mark=certificate_mark,
        state=str(effects.paths.state_dir),
        scratch=str(effects.paths.state_dir / "scratch"),
        own_apps={name: _find_own_program(effects, services / name) for name in list_own_services(settings)},
    )


def _find_own_program(effects: Effects, folder: Path) -> OwnProgram:
    """The program of an app's service that is the stack's own."""
    python = effects.engines.find_environment(folder / LOCK, {}) / "bin" / "python"
    return OwnProgram(str(python), str(folder), effects.files.hash_folder(folder))
