"""What packing a bundle needs beyond the ordinary effects, and what the operator asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.operations.bundle.pack.gather_engine import EngineRequest

if TYPE_CHECKING:
    from stackctl.core.bundle.format.manifest import Manifest
    from stackctl.core.bundle.pack.engine_files import EngineFacts
    from stackctl.core.bundle.pack.packed_versions import PackedVersion
    from stackctl.core.bundle.pack.plan import Draft, Source
    from stackctl.core.bundle.pack.sbom import Component
    from stackctl.core.text.progress import Transfer
    from stackctl.errors import Finding
    from stackctl.operations.bundle.pack.gather import Sources
    from stackctl.operations.effects import Effects


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
