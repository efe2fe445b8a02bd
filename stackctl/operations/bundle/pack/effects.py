"""What packing a bundle needs beyond the ordinary effects, as types, and what the operator asked for."""

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
    """What to pack, and how to cut, number and complete it.

    Attributes:
        part_size: largest size of a part in bytes.
        base: manifest of the bundle to build on; None for a whole bundle.
        version: version of the bundle; None lets it follow from the base and the bundles in ``out``.
        pythons: versions of Python that the wheels are for.
        with_processes: whether to carry also what the process runtime needs.
        engine: engine that the process runtime gets beside the wheels' one.
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
        architecture: processor of this machine, and so of the content: ``amd64``, ``arm64``.
        collect_wheels: gives the wheels of a hashed lock file, with this title, for these versions of Python, from this
            index.
        describe_wheel: gives what a wheel, of that SHA-256, says of itself.
        inspect_engine: runs a ``llama-server`` and gives what it is and needs.
        warn: shows a warning of something that stops nothing.
        build_own_wheel: makes the wheel of the ``stackctl`` that is running.
        list_bundles: gives the whole bundles in a folder, with their manifests.
        find_free_bytes: gives the bytes free on the file system of a folder that may not exist yet.
        find_partial_bytes: gives the bytes that killed packs left there, which this one takes over or removes.
        write_bundle: writes parts, bootstrap, manifest, signature; gives the bundle's folder and manifest.
        sign_bundle: signs a bundle that is there, if there is a key; tells whether it is signed then.
        load_versions: gives the last bundle of each stack that this key's holder packed.
        save_version: remembers a stack's bundle as the last one.
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
