"""Pack the current stack into an air-gapped bundle: gather, plan, compare with what is there, write, sign last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stackctl.core.bundle.format.manifest import MANIFEST_NAME, Manifest, Platform, encode_manifest
from stackctl.core.bundle.format.manifest_reader import MAX_MANIFEST_BYTES, MAX_SHOWN, check_manifest
from stackctl.core.bundle.load.checks import ARCHITECTURES
from stackctl.core.bundle.pack.engine_files import EngineFacts
from stackctl.core.bundle.pack.packed_versions import PackedVersion
from stackctl.core.bundle.pack.plan import (
    Contents,
    Draft,
    Source,
    build_draft,
    find_newest_version,
    is_contained,
    is_same_content,
)
from stackctl.core.bundle.pack.sbom import Component
from stackctl.core.engine.engines import ENGINE_FOLDER, LLAMA_CPP, XLLAMACPP
from stackctl.core.machine.host import choose_runtime
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.stack import GATEWAY
from stackctl.core.text.progress import Transfer, write_size
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.pack.bootstrap import gather_bootstrap
from stackctl.operations.bundle.pack.gather import (
    Gathered,
    Sources,
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
from stackctl.operations.site.load import load_site
from stackctl.operations.site.placement import choose_device
from stackctl.operations.site.state import load_state

WHEELS = "wheels"


@dataclass(frozen=True, slots=True)
class PackRequest:
    """What to pack and how.

    Attributes:
        part_size: bytes.
        base: the bundle to build on, as its manifest.
        version: None lets it follow from the base and the bundles in ``out``.
        pythons: versions of Python that the wheels are for.
        with_processes: also carry what the process runtime needs.
        engine: which engine the process runtime gets beside the wheels' one.
    """

    out: Path
    part_size: int
    base: Manifest | None
    version: int | None
    pythons: tuple[str, ...]
    with_processes: bool
    engine: EngineRequest = field(default_factory=EngineRequest)


@dataclass(frozen=True, slots=True)
class PackEffects:
    """What packing does to the world, beside ``Effects``.

    Attributes:
        architecture: of this machine, and so of the content: ``amd64``, ``arm64``.
        collect_wheels: wheels of a hashed lock file, with this title, for these versions of Python, from this index.
        describe_wheel: what a wheel, of that SHA-256, says of itself.
        inspect_engine: runs a ``llama-server`` and says what it is and needs.
        warn: tells of something that stops nothing.
        build_own_wheel: the wheel of the ``stackctl`` that is running.
        list_bundles: manifests of the whole bundles in a folder.
        find_free_bytes: on the file system of a folder that may not exist yet.
        find_partial_bytes: what killed packs left there, which this one takes over or removes.
        write_bundle: writes parts, bootstrap, manifest, signature; the bundle's folder.
        sign_bundle: signs a bundle that is there, if there is a key; whether it is signed then.
        load_versions: the last bundle of each stack that this key's holder packed.
        save_version: remember a stack's bundle as the last one.
    """

    effects: Effects
    sources: Sources
    architecture: str
    collect_wheels: Callable[[Path, str, tuple[str, ...], str], tuple[Path, ...]]
    describe_wheel: Callable[[Path, str], Component]
    inspect_engine: Callable[[Path], EngineFacts]
    warn: Callable[[Finding], None]
    build_own_wheel: Callable[[], Path]
    list_bundles: Callable[[Path], Sequence[tuple[Path, Manifest]]]
    find_free_bytes: Callable[[Path], int]
    find_partial_bytes: Callable[[Path, Draft], int]
    write_bundle: Callable[[Path, Draft, Sequence[tuple[str, bool, int, Source]], Transfer], tuple[Path, Manifest]]
    sign_bundle: Callable[[Path, Manifest], bool]
    load_versions: Callable[[], dict[str, PackedVersion]]
    save_version: Callable[[str, PackedVersion], None]


@dataclass(frozen=True, slots=True)
class PackResult:
    """What was packed.

    Attributes:
        folder: the bundle; None where none is written or found.
        manifest: of the bundle; after a dry run the parts' digests are all zero.
        unchanged: this content was there already: in the folder or, without a folder, in the base.
        is_signed: None where nobody looked, because nothing was to be written.
        newest: the highest version of this stack that is beside it, or that this key's holder packed.
        is_ambiguous: whether another bundle of this version was packed: a site cannot tell which is the later one.
    """

    folder: Path | None
    manifest: Manifest
    unchanged: bool
    is_signed: bool | None = None
    newest: int = 0
    is_ambiguous: bool = False


def run_pack(world: PackEffects, request: PackRequest, *, dry_run: bool = False) -> PackResult:
    """Pack the stack of this site.

    Raises:
        ConfigError: the site's files are not usable.
        BundleError: something cannot travel or be had, the disk is too small, or a source changed meanwhile.
    """
    # What travels must not depend on the memory here: the prompt cache that fits is the site's to find when it renders.
    loaded = load_site(world.effects, memory_bytes=0)
    with ThreadPoolExecutor(1) as pool:
        # Another program builds it, while this one reads and looks up.
        own_wheel = pool.submit(world.build_own_wheel)
        contents = gather_contents(world, request, loaded, own_wheel.result)
    bundles = list(world.list_bundles(request.out))
    draft = build_draft(contents, 1, request.base, request.part_size)
    name, content = draft.body.name, draft.body.id
    last = world.load_versions().get(name, PackedVersion(0, ""))
    newest = max(find_newest_version(name, [manifest for _, manifest in bundles]), last.version)
    for folder, manifest in bundles:
        if is_same_content(draft, manifest) and request.version in (None, manifest.version):
            is_signed = None if dry_run else _finish(world, folder, manifest, content)
            return PackResult(folder, manifest, unchanged=True, is_signed=is_signed, newest=newest)
    again = last.version if (last.version, last.content) == (newest, content) else 0
    version = request.version or again or max(newest, request.base.version if request.base else 0) + 1
    draft = build_draft(contents, version, request.base, request.part_size)
    _check_base(draft, request.base)
    if request.base and not request.version and is_contained(draft, request.base):
        return PackResult(None, request.base, unchanged=True, newest=newest)
    _check_readable(draft)
    _check_space(world, request.out, draft)
    if dry_run:
        return PackResult(None, draft.body, unchanged=False)
    folder, manifest = _write(world, request.out, contents, draft)
    is_signed = _finish(world, folder, manifest, content)
    others = [item.version for _, item in bundles if item.name == name]
    others += [last.version] if last.content != content else []
    return PackResult(folder, manifest, False, is_signed, max(newest, version), version in others)


def _finish(world: PackEffects, folder: Path, manifest: Manifest, content: str) -> bool:
    """Sign what is whole, and remember its version; whether it is signed."""
    is_signed = world.sign_bundle(folder, manifest)
    world.save_version(manifest.name, PackedVersion(manifest.version, content))
    return is_signed


def _write(world: PackEffects, out: Path, contents: Contents, draft: Draft) -> tuple[Path, Manifest]:
    carried = {file.path for file in draft.body.bootstrap}
    bootstrap = [
        (file.path, file.executable, file.size, source) for file, source in contents.bootstrap if file.path in carried
    ]
    transfer = Transfer("packing", draft.body.size_bytes, world.effects.terminal.report, world.effects.clock.monotonic)
    return world.write_bundle(out, draft, bootstrap, transfer)


def gather_contents(
    world: PackEffects, request: PackRequest, loaded: LoadedSite, find_own_wheel: Callable[[], Path]
) -> Contents:
    """Everything the bundle will hold; all that cannot travel is reported before anything is written."""
    effects, sources = world.effects, world.sources
    _check_machine(world.architecture)
    runtime, gpus = _choose_target(effects, loaded)
    with_processes = request.with_processes or runtime == "process"
    # Before the models, whose hashing may take minutes.
    engine = _gather_engine(world, request.engine, loaded, with_processes=with_processes)
    images = Gathered()
    if runtime == "compose":
        effects.terminal.report("reading the images' manifests")
        images = gather_images(loaded, gpus, sources)
    stack = loaded.choose_stack(runtime)
    total = sum(model.size_bytes for model in {model.shards: model for model in stack.models}.values())
    models = gather_models(
        stack.models, sources, Transfer("hashing models", total, effects.terminal.report, effects.clock.monotonic).add
    )
    found = Gathered(images=images.images, models=models.models)
    config = gather_config(effects, loaded, found, gpus)
    index = loaded.settings.pip_index_url

    def collect(lock: Path) -> tuple[Path, ...]:
        title = "stackctl" if lock.parent == effects.paths.data_root else lock.parent.name
        return world.collect_wheels(lock, title, request.pythons, index)

    wheels = _gather_wheels(world, collect) if with_processes else Gathered()
    bootstrap = gather_bootstrap(effects, sources, collect, find_own_wheel)
    describe = world.describe_wheel
    inventory = gather_inventory(images.images, models.models, wheels, bootstrap, describe, engine.components)
    texts = {**config, **inventory}
    check_secrecy(texts, loaded)
    runtimes: list[Literal["compose", "process"]] = ["compose"] if images.images else []
    if with_processes:
        runtimes.append("process")
    platform = Platform.model_validate({"os": "linux", "architecture": world.architecture, "python": request.pythons})
    contents = (pack_texts(texts), engine.content, wheels, images, models, bootstrap)
    return join_contents(loaded, platform, tuple(runtimes), engine.packed, *contents)


def _gather_engine(
    world: PackEffects, request: EngineRequest, loaded: LoadedSite, *, with_processes: bool
) -> GatheredEngine:
    if not with_processes:
        if request.program:
            hint = "give --include-process-runtime as well"
            raise BundleError(f"{request.program} is for the process runtime, which is not packed.", hint)
        return GatheredEngine()
    return gather_engine(world.effects, world.sources, loaded, request, world.inspect_engine, world.warn)


def _choose_target(effects: Effects, loaded: LoadedSite) -> tuple[Literal["compose", "process"], tuple[str, ...]]:
    """The runtime that the stack runs in, or would, and the accelerators of its engines.

    One that was named is the site's, and need not be this machine's; only the engine that is to run it must be able to.
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


def _gather_wheels(world: PackEffects, collect: Callable[[Path], tuple[Path, ...]]) -> Gathered:
    """Wheels of the gateway and of the engine that the process runtime takes where there is no binary."""
    effects = world.effects
    engine = XLLAMACPP
    assert engine.lock_file is not None
    services = effects.paths.data_root / "services"
    paths: dict[str, Path] = {}
    for lock in (services / GATEWAY / "requirements.lock", effects.paths.data_root / ENGINE_FOLDER / engine.lock_file):
        paths |= {path.name: path for path in collect(lock)}
    return pack_paths(WHEELS, [paths[name] for name in sorted(paths)], world.sources, lambda size: None)


def _check_machine(architecture: str) -> None:
    if architecture not in ARCHITECTURES.values():
        raise BundleError(
            f"This machine is {architecture}; bundles are made on amd64 and arm64 for machines of the same kind.",
            "pack on a machine of the site's kind",
        )


def _check_readable(draft: Draft) -> None:
    """What the site's reader would refuse is refused here, before anybody carries it there."""
    findings = list(check_manifest(draft.body))[:MAX_SHOWN]
    size = len(encode_manifest(draft.body))
    if size > MAX_MANIFEST_BYTES:
        findings.append(Finding(MANIFEST_NAME, f"would have {size} bytes, at most {MAX_MANIFEST_BYTES} are read"))
    if findings:
        raise BundleError("This content makes no bundle that could be read.", "", findings)


def _check_base(draft: Draft, base: Manifest | None) -> None:
    if base is None:
        return
    if (base.name, base.platform.architecture) != (draft.body.name, draft.body.platform.architecture):
        raise BundleError(
            f"The base is {base.name} for {base.platform.architecture}; packed is {draft.body.name} for"
            f" {draft.body.platform.architecture}.",
            "give the bundle.json of an earlier bundle of this stack",
        )
    if base.version >= draft.body.version:
        raise BundleError(
            f"The base has version {base.version}; a bundle that builds on it must have a higher one than"
            f" {draft.body.version}.",
            "leave --version out",
        )


def _check_space(world: PackEffects, out: Path, draft: Draft) -> None:
    needed = draft.body.size_bytes - world.find_partial_bytes(out, draft)
    free = world.find_free_bytes(out)
    if needed > free:
        raise BundleError(
            f"{out} has {write_size(free)} free; the bundle needs {write_size(needed)}.",
            "free some space, or give another --out",
        )
