"""Everything that a bundle will hold: images, models, configuration, wheels, engine, bill of materials.

In: a loaded site and a ``PackRequest``. Out: ``Contents``. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from stackctl.core.apps.catalog import list_own_services
from stackctl.core.bundle.format.manifest import Platform
from stackctl.core.bundle.load.checks import ARCHITECTURES
from stackctl.core.bundle.pack.plan import Contents
from stackctl.core.engine.engines import ENGINE_FOLDER, LLAMA_CPP, XLLAMACPP
from stackctl.core.machine.host import RuntimeName, choose_runtime
from stackctl.core.models.served import ServedModel
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.names import GATEWAY
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError
from stackctl.operations.bundle.pack.bootstrap import gather_bootstrap
from stackctl.operations.bundle.pack.effects import PackEffects, PackRequest
from stackctl.operations.bundle.pack.gather import (
    Gathered,
    gather_images,
    gather_models,
    join_contents,
    pack_paths,
    pack_texts,
)
from stackctl.operations.bundle.pack.gather_config import check_secrecy, gather_config
from stackctl.operations.bundle.pack.gather_engine import EngineRequest, GatheredEngine, gather_engine
from stackctl.operations.bundle.pack.inventory import gather_inventory
from stackctl.operations.effects import Effects
from stackctl.operations.site.placement import choose_device
from stackctl.operations.site.state import load_state

WHEELS = "wheels"

CollectWheels = Callable[[Path], tuple[Path, ...]]


def gather_contents(
    world: PackEffects, request: PackRequest, loaded: LoadedSite, find_own_wheel: Callable[[], Path]
) -> Contents:
    """Read and describe all that a bundle will hold; what cannot be packed is reported before anything is written.

    Args:
        find_own_wheel: gives the wheel of the ``stackctl`` that is running, once it is needed.

    Raises:
        BundleError: a content cannot be packed or found.
    """
    _check_machine(world.architecture)
    runtime, gpus = _choose_target(world.effects, loaded)
    runtimes = _list_runtimes(runtime, request)
    # Before the models, whose hashing may take minutes.
    engine = _gather_engine(world, request.engine, loaded, runtimes)
    images = _gather_images(world, loaded, gpus) if "compose" in runtimes else Gathered()
    models = _gather_models(world, loaded.choose_stack(runtime).models)
    config = gather_config(world.effects, loaded, Gathered(images=images.images, models=models.models), gpus)
    collect = partial(_collect_wheels, world, request.pythons, loaded.settings.pip_index_url)
    own = list_own_services(loaded.settings)
    wheels = _gather_wheels(world, collect, own) if "process" in runtimes else Gathered()
    bootstrap = gather_bootstrap(world.effects, world.sources, collect, find_own_wheel)
    inventory = gather_inventory(
        images.images, models.models, wheels, bootstrap, world.describe_wheel, engine.components
    )
    texts = {**config, **inventory}
    check_secrecy(texts, loaded)
    platform = Platform.model_validate({"os": "linux", "architecture": world.architecture, "python": request.pythons})
    contents = (pack_texts(texts), engine.content, wheels, images, models, bootstrap)
    return join_contents(loaded, platform, runtimes, engine.packed, *contents)


def _list_runtimes(runtime: RuntimeName, request: PackRequest) -> tuple[RuntimeName, ...]:
    """The runtimes that the bundle is for: the stack's own, and processes where they are asked for as well."""
    if runtime == "process":
        return ("process",)
    return ("compose", "process") if request.with_processes else ("compose",)


def _gather_images(world: PackEffects, loaded: LoadedSite, gpus: tuple[str, ...]) -> Gathered:
    world.effects.terminal.report("reading the images' manifests")
    return gather_images(loaded, gpus, world.sources)


def _gather_models(world: PackEffects, models: tuple[ServedModel, ...]) -> Gathered:
    effects = world.effects
    total = sum(model.size_bytes for model in {model.shards: model for model in models}.values())
    progress = Transfer("hashing models", total, effects.terminal.report, effects.clock.monotonic)
    return gather_models(models, world.sources, progress.add)


def _collect_wheels(world: PackEffects, pythons: tuple[str, ...], index_url: str, lock: Path) -> tuple[Path, ...]:
    """The wheels of a lock file, which is known by its service's name."""
    title = "stackctl" if lock.parent == world.effects.paths.data_root else lock.parent.name
    return world.collect_wheels(lock, title, pythons, index_url)


def _gather_engine(
    world: PackEffects, request: EngineRequest, loaded: LoadedSite, runtimes: tuple[RuntimeName, ...]
) -> GatheredEngine:
    if "process" not in runtimes:
        if request.program:
            hint = "give --include-process-runtime as well"
            raise BundleError(f"{request.program} is for the process runtime, which is not packed.", hint)
        return GatheredEngine()
    return gather_engine(world.effects, world.sources, loaded, request, world.inspect_engine, world.warn)


def _choose_target(effects: Effects, loaded: LoadedSite) -> tuple[RuntimeName, tuple[str, ...]]:
    """The runtime that the stack runs in, or would, and the accelerators of its engines.

    A runtime that was named is the site's, and need not be this machine's; only the engine that is to run it must be
    able to.
    """
    state = load_state(effects.files, effects.paths)
    wanted = loaded.settings.stack_runtime
    if wanted == "auto" and state is not None:
        wanted = state.runtime
    if wanted == "process":
        return "process", ("none",)
    host = effects.machine.load_host(True)
    if choose_runtime(host, wanted).value == "process":
        return "process", ("none",)
    wanted = loaded.settings.stack_gpu
    if wanted != "auto" and loaded.compose.engine is LLAMA_CPP and not loaded.release:
        return "compose", (wanted,)
    return "compose", (choose_device(effects, host, loaded, "compose")[0].value,)


def _gather_wheels(world: PackEffects, collect: CollectWheels, apps: tuple[str, ...]) -> Gathered:
    """Wheels of the gateway, of the apps that are the stack's own, and of the engine that the process runtime takes
    where there is no binary.
    """
    effects = world.effects
    engine = XLLAMACPP
    assert engine.lock_file is not None
    services = effects.paths.data_root / "services"
    paths: dict[str, Path] = {}
    locks = [services / name / "requirements.lock" for name in (GATEWAY, *apps)]
    for lock in (*locks, effects.paths.data_root / ENGINE_FOLDER / engine.lock_file):
        paths |= {path.name: path for path in collect(lock)}
    return pack_paths(WHEELS, [paths[name] for name in sorted(paths)], world.sources, lambda size: None)


def _check_machine(architecture: str) -> None:
    if architecture not in ARCHITECTURES.values():
        raise BundleError(
            f"This machine is {architecture}; bundles are made on amd64 and arm64 for machines of the same kind.",
            "pack on a machine of the site's kind",
        )
