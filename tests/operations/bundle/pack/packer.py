"""A pack with a fake world: what lies where, what is asked, and what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.core.bundle.format.chunks import FileDigest
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.pack.engine_files import EngineFacts, Library
from stackctl.core.bundle.pack.packed_versions import PackedVersion
from stackctl.core.bundle.pack.plan import Draft, InMemory, Source
from stackctl.core.bundle.pack.sbom import Component
from stackctl.core.images.oci import ImageBlob, ImageContent
from stackctl.core.images.oci_documents import build_facts
from stackctl.core.text.progress import Transfer
from stackctl.errors import Finding
from stackctl.operations.bundle.pack.effects import PackEffects, PackRequest
from stackctl.operations.bundle.pack.gather import Provenance, Sources
from stackctl.operations.bundle.pack.pack import PackResult, run_pack
from tests.fakes import SITE, World, write_env
from tests.image_documents import digest, make_config, make_manifest

OUT = Path("/out")
MIB = 1024 * 1024


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_image(reference: str) -> ImageContent:
    """An image of one layer, all of it told apart from others' by its name."""
    layer = reference.encode()
    config = make_config(layer)
    manifest = make_manifest(config, layer)
    documents = {digest(config): config, digest(manifest): manifest}
    described = ImageBlob(digest(manifest), len(manifest), "application/vnd.oci.image.manifest.v1+json")
    return ImageContent(build_facts(reference, "registry", None, described, documents), documents)


CUDA = EngineFacts(
    program="/opt/llama-server",
    version="6924 (e60f241e)",
    devices=("CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)",),
    libraries=(
        Library("libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so.12"),
        Library("libcuda.so.1", "/usr/lib/libcuda.so.1"),
        Library("libcudart.so.12", "/usr/local/cuda/lib64/libcudart.so.12"),
        Library("libcurl.so.4", "/usr/lib/libcurl.so.4"),
        Library("libstdc++.so.6", "/usr/lib/libstdc++.so.6"),
    ),
    glibc="2.34",
    driver="525.60.13",
)
CPU = replace(CUDA, libraries=(), devices=(), driver="")


@dataclass
class Packer:
    """A pack's world.

    Attributes:
        contents: path of a model to what stands for its content; its name where nothing is said.
        bundles: what lies in the output folder.
        signed: the folders that were asked to be signed.
        has_key: whether bundles are signed.
    """

    world: World
    contents: dict[str, str] = field(default_factory=dict)
    bundles: list[tuple[Path, Manifest]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    signed: list[Path] = field(default_factory=list)
    architecture: str = "amd64"
    has_key: bool = True
    own_wheel: str = "stackctl"
    source: str = ""
    versions: dict[str, PackedVersion] = field(default_factory=dict)
    engine: EngineFacts = CUDA
    warnings: list[Finding] = field(default_factory=list)

    def hash_model(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        content = hash_text(self.contents.get(str(path), path.name))
        return FileDigest(str(path), 4, content, "stamp", ((0, 4, content),))

    def hash_file(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        content = hash_text(self.own_wheel if path.name.startswith("stackctl-") else path.name)
        return FileDigest(str(path), 4, content, "stamp", ((0, 4, content),))

    def write(
        self, out: Path, draft: Draft, bootstrap: Sequence[tuple[str, bool, int, Source]], transfer: Transfer
    ) -> tuple[Path, Manifest]:
        manifest = draft.seal([hash_text(part.name) for part in draft.parts])
        blobs = {item.blob.sha256: item.blob.source for part in draft.parts for item in part.members}
        sources = {file.path: blobs.get(file.sha256) for file in manifest.files}
        self.texts = {path: src.data.decode() for path, src in sources.items() if isinstance(src, InMemory)}
        self.bundles.append((out / manifest.folder, manifest))
        return self.bundles[-1]

    def sign(self, folder: Path, manifest: Manifest) -> bool:
        self.signed += [folder] if self.has_key else []
        return folder in self.signed

    @property
    def effects(self) -> PackEffects:
        sources = Sources(
            self.hash_model,
            self.hash_file,
            lambda reference, is_local: make_image(reference),
            lambda path, sha256: Provenance(self.source),
        )
        return PackEffects(
            effects=self.world.effects,
            sources=sources,
            architecture=self.architecture,
            collect_wheels=lambda lock, title, pythons, index: (),
            describe_wheel=lambda path, sha256: Component("wheel", path.name, "1", sha256),
            inspect_engine=lambda path: replace(self.engine, program=str(path)),
            warn=self.warnings.append,
            build_own_wheel=lambda: Path("/cache/stackctl-0.1.0-py3-none-any.whl"),
            list_bundles=lambda out: self.bundles,
            find_free_bytes=lambda out: 1 << 40,
            find_partial_bytes=lambda out, draft: 0,
            write_bundle=self.write,
            sign_bundle=self.sign,
            load_versions=lambda: dict(self.versions),
            save_version=self.versions.__setitem__,
        )

    def pack(self, *, dry_run: bool = False, **changes: Any) -> PackResult:
        request = PackRequest(OUT, 100 * MIB, None, None, ("3.11",), False)
        return run_pack(self.effects, replace(request, **changes), dry_run=dry_run)


def set_env(packer: Packer, **values: object) -> None:
    packer.world.files[SITE / ".env"] = write_env(**values)
