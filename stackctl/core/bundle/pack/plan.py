"""The exact content of a bundle before it is written: what goes where, from which source. Pure.

In: images, models and files with their digests and sources. Out: a ``Draft`` that says where every byte will lie;
with the parts' digests it becomes the manifest. Equal input gives equal output in any order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stackctl.core.bundle.format.layout import Entry, blob_path, part_name, plan_parts
from stackctl.core.bundle.format.manifest import (
    Base,
    BootstrapFile,
    Content,
    Image,
    LayoutMember,
    Manifest,
    Member,
    Model,
    PackedEngine,
    PackedFile,
    Part,
    Platform,
    Requirements,
    seal_manifest,
)
from stackctl.core.bundle.format.manifest_reader import list_content

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
UNKNOWN = "0" * 64
LAYOUT_MEMBERS = 2  # oci-layout and index.json


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes that the plan itself holds, for small documents."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileRange:
    """A range of a file, from which a blob's bytes are read.

    Attributes:
        stamp: text that identified the file's content when it was hashed; another stamp means that it was changed.
    """

    path: str
    offset: int
    stamp: str


@dataclass(frozen=True, slots=True)
class RegistryBlob:
    """A blob that a registry has, under its image's name."""

    reference: str
    digest: str


@dataclass(frozen=True, slots=True)
class EngineBlob:
    """A layer of an image that only the Docker engine has; the engine sends layers in an order of its own."""

    reference: str
    digest: str


Source = InMemory | FileRange | RegistryBlob | EngineBlob


@dataclass(frozen=True, slots=True)
class Blob:
    """Content with its digest, its name for people, and where it comes from."""

    sha256: str
    size: int
    title: str
    source: Source


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a bundle will hold, apart from how it is cut into parts.

    Attributes:
        blobs: everything that images, models and files are made of; a blob may stand twice.
        bootstrap: files beside the parts, with their sources.
    """

    name: str
    platform: Platform
    requires: Requirements
    runtimes: tuple[str, ...]
    images: tuple[Image, ...]
    models: tuple[Model, ...]
    files: tuple[PackedFile, ...]
    bootstrap: tuple[tuple[BootstrapFile, Source], ...]
    blobs: tuple[Blob, ...]
    engine: PackedEngine | None = None


@dataclass(frozen=True, slots=True)
class PlacedBlob:
    """A member of a part, and where its data lies.

    Attributes:
        offset: offset in the part of the member's data, in bytes.
    """

    path: str
    blob: Blob
    offset: int


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One part to write: its members lie one after another and fill it."""

    name: str
    size: int
    members: tuple[PlacedBlob, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A manifest that lacks its parts' digests, and what to write.

    Attributes:
        body: the manifest as it will be, with the parts' digests all zero.
    """

    body: Manifest
    parts: tuple[PartPlan, ...]

    def seal(self, digests: Sequence[str]) -> Manifest:
        """The finished manifest, with the digests of the written parts."""
        parts = tuple(
            Part(name=part.name, size=part.size, sha256=sha256)
            for part, sha256 in zip(self.body.parts, digests, strict=True)
        )
        return seal_manifest(**{**_list_fields(self.body), "parts": parts})


@dataclass(frozen=True, slots=True)
class _PlacedContent:
    """Where all that a bundle carries lies.

    Attributes:
        members: the members of each part and its number, from 1; the layout's documents first.
        part_sizes: size of each part in bytes.
    """

    members: tuple[tuple[int, PlacedBlob], ...]
    part_sizes: tuple[int, ...]

    def list_parts(self) -> tuple[PartPlan, ...]:
        """The parts with what lies in each."""
        parts: list[list[PlacedBlob]] = [[] for _ in self.part_sizes]
        for number, item in self.members:
            parts[number - 1].append(item)
        return tuple(
            PartPlan(part_name(number), size, tuple(members))
            for number, (size, members) in enumerate(zip(self.part_sizes, parts, strict=True), 1)
        )

    def list_layout(self) -> tuple[LayoutMember, ...]:
        """The documents of the OCI layout, as the manifest has them."""
        documents = self.members[:LAYOUT_MEMBERS]
        return tuple(
            LayoutMember.model_validate({"path": item.path, **_build_member(number, item).model_dump()})
            for number, item in documents
        )

    def list_blobs(self) -> tuple[Member, ...]:
        """The members that are no documents of the OCI layout, as the manifest has them."""
        return tuple(_build_member(number, item) for number, item in self.members[LAYOUT_MEMBERS:])


def build_draft(contents: Contents, version: int, base: Manifest | None, part_size: int) -> Draft:
    """Fix the place of every byte of a bundle.

    Args:
        base: the bundle that this one builds on; what it has is left out.
        part_size: largest size of a part in bytes.

    Raises:
        BundleError: a content does not fit into one part.
    """
    known = {item.sha256 for item in list_content(base)} if base else set()
    needed = {blob.sha256: blob for blob in contents.blobs}
    carried = [blob for blob in needed.values() if blob.sha256 not in known]
    inherited = [needed[sha256] for sha256 in sorted(known & needed.keys())]
    placed = _place_blobs(contents.images, carried, part_size)
    parts = placed.list_parts()
    bootstrap = tuple(sorted((file for file, _ in contents.bootstrap), key=lambda file: file.path))
    bootstrap_digest = _hash_bootstrap(bootstrap)
    base_has_bootstrap = base is not None and base.bootstrap_digest == bootstrap_digest
    body = seal_manifest(
        name=contents.name,
        version=version,
        platform=contents.platform,
        requires=contents.requires,
        runtimes=contents.runtimes,
        base=Base(id=base.id, version=base.version) if base else None,
        parts=tuple(Part(name=part.name, size=part.size, sha256=UNKNOWN) for part in parts),
        layout=placed.list_layout(),
        blobs=placed.list_blobs(),
        inherited=tuple(Content(sha256=blob.sha256, size=blob.size) for blob in inherited),
        images=tuple(sorted(contents.images, key=lambda image: image.alias)),
        models=tuple(sorted(contents.models, key=lambda model: model.served_names)),
        files=tuple(sorted(contents.files, key=lambda file: file.path)),
        bootstrap=() if base_has_bootstrap else bootstrap,
        bootstrap_digest=bootstrap_digest,
        engine=contents.engine,
    )
    return Draft(body, parts)


def _place_blobs(images: Iterable[Image], carried: Sequence[Blob], part_size: int) -> _PlacedContent:
    """Lay the documents of the OCI layout and then the blobs one after another."""
    documents = [_build_document("oci-layout", OCI_LAYOUT), _build_document("index.json", build_index(images))]
    entries = [Entry(document.title, document.size, document.title) for document in documents]
    entries += [Entry(blob_path(blob.sha256), blob.size, blob.title) for blob in carried]
    placements, part_sizes = plan_parts(entries, part_size)
    blobs = [*documents, *carried]
    members = tuple(
        (place.part, PlacedBlob(place.entry.path, blob, place.offset))
        for place, blob in zip(placements, blobs, strict=True)
    )
    return _PlacedContent(members, part_sizes)


def _build_document(path: str, data: bytes) -> Blob:
    return Blob(hash_bytes(data), len(data), path, InMemory(data))


def is_same_content(draft: Draft, other: Manifest) -> bool:
    """Whether a bundle that exists holds what the draft says, byte for byte, whatever its version."""
    mine, theirs = _list_fields(draft.body), _list_fields(other)
    theirs["parts"] = tuple(part.model_copy(update={"sha256": UNKNOWN}) for part in other.parts)
    return {**mine, "version": 0} == {**theirs, "version": 0}


def is_contained(draft: Draft, base: Manifest) -> bool:
    """Whether a site that has the base has all that the draft says, so that a delta would bring nothing."""
    names = ("platform", "requires", "runtimes", "images", "models", "files", "bootstrap_digest")
    return all(getattr(draft.body, name) == getattr(base, name) for name in names)


def find_newest_version(name: str, manifests: Iterable[Manifest]) -> int:
    """The highest version among bundles of a stack; 0 where there is none."""
    return max((manifest.version for manifest in manifests if manifest.name == name), default=0)


def build_index(images: Iterable[Image]) -> bytes:
    """The bytes of ``index.json`` of the OCI layout: each image's manifest under its alias."""
    manifests = [
        {
            "mediaType": image.manifest.media_type,
            "digest": image.manifest.digest,
            "size": image.manifest.size,
            "annotations": {
                "io.containerd.image.name": image.alias,
                "org.opencontainers.image.ref.name": image.alias,
            },
        }
        for image in sorted(images, key=lambda image: image.alias)
    ]
    value: Mapping[str, object] = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def hash_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _hash_bootstrap(files: tuple[BootstrapFile, ...]) -> str | None:
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hash_bytes(lines.encode()) if files else None


def _build_member(number: int, item: PlacedBlob) -> Member:
    return Member(sha256=item.blob.sha256, size=item.blob.size, part=number, offset=item.offset)


def _list_fields(manifest: Manifest) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in Manifest.model_fields if name not in ("format", "id")}
