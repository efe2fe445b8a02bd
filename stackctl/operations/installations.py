"""Where the process runtime finds its programs, and which of them this machine has to get before it can start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.engines import ENGINE_FOLDER, LLAMA_CPP, Engine
from stackctl.core.render import GATEWAY_CONFIG
from stackctl.core.stack import GATEWAY, Layout
from stackctl.operations.effects import Effects

if TYPE_CHECKING:
    from stackctl.operations.site import LoadedSite


@dataclass(frozen=True, slots=True)
class Installation:
    """Something that the process runtime needs on this machine before it can start.

    Attributes:
        target: the program that is there when the installation is.
        lock: hashed requirements of the environment; empty for a server built from source.
        variables: what the installation needs in its environment.
    """

    title: str
    target: Path
    lock: Path | None
    variables: Mapping[str, str]


def list_installations(effects: Effects, loaded: LoadedSite) -> tuple[Installation, ...]:
    """What the process runtime of this site needs: the gateway's environment, and the engine's or its binary."""
    engine = loaded.process.engine
    gateway = Installation(
        GATEWAY,
        Path(loaded.layout.gateway_command[0]),
        effects.data_root / "services" / GATEWAY / "requirements.lock",
        {},
    )
    program = Path(loaded.layout.engine_command[0])
    if engine.lock_file is not None:
        lock = effects.data_root / ENGINE_FOLDER / engine.lock_file
        return gateway, Installation(engine.name, program, lock, engine.install_variables)
    if program == effects.find_built_server():
        return gateway, Installation("llama-server", program, None, {})
    return (gateway,)


def build_layout(effects: Effects, engine: Engine) -> Layout:
    """Where a process finds its program: an environment made from the service's lock, or a binary."""
    services = effects.data_root / "services"
    gateway = effects.find_environment(services / GATEWAY / "requirements.lock", {})
    return Layout(
        runtime="process",
        engine_command=_find_engine_command(effects, engine),
        gateway_command=(str(gateway / "bin" / "python"), "-m", "gateway"),
        python_path=str(services / GATEWAY),
        gateway_config=str(effects.rendered_dir / GATEWAY_CONFIG),
        scratch=str(effects.state_dir / "scratch"),
    )


def _find_engine_command(effects: Effects, engine: Engine) -> tuple[str, ...]:
    folder = effects.data_root / ENGINE_FOLDER
    if engine is LLAMA_CPP:
        return (effects.find_program("llama-server") or str(effects.find_built_server()),)
    assert engine.launcher is not None
    assert engine.lock_file is not None
    environment = effects.find_environment(folder / engine.lock_file, engine.install_variables)
    return (str(environment / "bin" / "python"), str(folder / engine.launcher))
