"""What a bundle says it holds: the frozen values of ``bundle.json`` and their one canonical spelling. Pure.

In: values. Out: bytes that are equal for equal values. Reading untrusted bytes is manifest_reader.py's job.
docs/reference/bundle-format.md describes every field for another program.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import StringConstraints

from stackctl.core.bundle.format.manifest_fields import (
    Alias,
    Digest,
    FileName,
    Many,
    Name,
    Number,
    PartName,
    Record,
    SafePath,
    Sha256,
    Size,
    Text,
)

FORMAT: Final = "ai-stack-bundle/1"
MANIFEST_NAME = "bundle.json"
SIGNATURE_NAME = "bundle.json.sig"
SUMS_NAME = "SHA256SUMS"
BOOTSTRAP_FOLDER = "bootstrap"
ID_DIGITS = 12


class Part(Record):
    """One tar file of the bundle."""

    name: PartName
    size: Size
    sha256: Sha256


class Content(Record):
    """So many bytes with this digest."""

    sha256: Sha256
    size: Size


class Member(Content):
    """One file inside a part.

    Attributes:
        part: number of the part, from 1.
        offset: of its first byte in the part, after its header.
    """

    part: Number
    offset: Size


class LayoutMember(Member):
    """``oci-layout`` or ``index.json``, which make the extracted parts an OCI image layout."""

    path: Literal["oci-layout", "index.json"]


class Base(Record):
    """The bundle that a delta builds on."""

    id: Sha256
    version: Number


class Platform(Record):
    """Where it runs.

    Attributes:
        python: versions that the wheels are for, such as "3.11".
    """

    os: Literal["linux"]
    architecture: Literal["amd64", "arm64"]
    python: Many[Annotated[str, StringConstraints(pattern=r"^3\.[0-9]{1,2}$")]]


class Descriptor(Record):
    """One blob of an image as OCI describes it."""

    digest: Digest
    size: Size
    media_type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+/_-]{0,126}$")]


class Image(Record):
    """A container image with its registry's bytes.

    Attributes:
        uses: what it is for: "api-gateway", "inference.none", "inference.nvidia" ...
        reference: as the stack that was packed named it.
        alias: the name it is loaded under; ``.invalid`` never resolves, so a stray pull fails at once.
        index: the registry's index, where the reference named one.
        diff_ids: digests of the uncompressed layers.
        source: whether the bytes are a registry's, or an engine's export of an image that was built.
    """

    uses: Many[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]]
    reference: Text
    alias: Alias
    index: Descriptor | None
    manifest: Descriptor
    config: Descriptor
    layers: Many[Descriptor]
    diff_ids: Many[Digest]
    source: Literal["registry", "engine"]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All of them, the small ones first; a layer may stand twice."""
        return (*([self.index] if self.index else []), self.manifest, self.config, *self.layers)


class ModelFile(Record):
    """One GGUF file, cut where its content may change independently."""

    path: FileName
    size: Size
    sha256: Sha256
    chunks: Many[Sha256]


class Model(Record):
    """A model with all its shards.

    Attributes:
        served_names: what clients ask for.
        digest: over its files' names and digests; the folder it is installed in.
        source, revision, licence: empty where nobody stated it.
    """

    served_names: Many[Text]
    digest: Sha256
    files: Many[ModelFile]
    architecture: Text
    quantisation: Text
    parameters: Size
    context_length: Size
    source: Text
    revision: Text
    licence: Text


class PackedFile(Record):
    """A file of the release: configuration, wheel, SBOM."""

    path: SafePath
    size: Size
    sha256: Sha256


class BootstrapFile(PackedFile):
    """A file that lies beside the parts, so that a bare machine can install ``stackctl``."""

    executable: bool


class PackedEngine(Record):
    """A ``llama-server`` for the process runtime.

    Attributes:
        path: of the program among ``files``; its libraries lie beside it.
        title: name, version and what it was built for.
        glibc, driver: the least of either that it runs with; empty where it needs none.
    """

    path: SafePath
    title: Text
    gpu: Literal["none", "nvidia", "amd", "vulkan"]
    glibc: Text
    driver: Text


class Requirements(Record):
    """What the machine must have.

    Attributes:
        stackctl: version that packed it; a loader of an older format refuses.
        docker: lowest engine version, for the compose runtime.
        disk_bytes, engine_bytes: written by loading, and at least by the engine for the images.
    """

    stackctl: Text
    docker: Text
    disk_bytes: Size
    engine_bytes: Size


class Manifest(Record):
    """The whole of ``bundle.json``; lists are sorted by path, name or place.

    Attributes:
        id: SHA-256 of the canonical bytes of all other fields.
        name: the stack's.
        version: grows with every bundle of that name; an older one is not loaded over a newer one.
        blobs: in the order of the parts.
        engine: absent from the canonical bytes where there is none, as bundles before it have it.
        bootstrap: empty in a delta whose base has the same ``bootstrap_digest``.
        inherited: content that the base brought and this bundle leaves out, sorted by digest.
    """

    format: Literal["ai-stack-bundle/1"]
    id: Sha256
    name: Name
    version: Number
    platform: Platform
    requires: Requirements
    runtimes: Many[Literal["compose", "process"]]
    base: Base | None
    parts: Many[Part]
    layout: Many[LayoutMember]
    blobs: Many[Member]
    inherited: Many[Content]
    images: Many[Image]
    models: Many[Model]
    files: Many[PackedFile]
    bootstrap: Many[BootstrapFile]
    bootstrap_digest: Sha256 | None = None
    engine: PackedEngine | None = None

    @property
    def short_id(self) -> str:
        """The id's first digits."""
        return self.id[:ID_DIGITS]

    @property
    def folder(self) -> str:
        """Name of the bundle's folder."""
        return f"{self.name}-{self.short_id}"

    @property
    def size_bytes(self) -> int:
        """All parts and what lies beside them, bundle.json and its signature apart."""
        return sum(part.size for part in self.parts) + sum(file.size for file in self.bootstrap)


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes: RFC 8785 for what these values can be, and a line end."""
    return _encode(_dump(manifest))


def seal_manifest(**fields: Any) -> Manifest:
    """Make a manifest and its id.

    Args:
        fields: all but ``format`` and ``id``.
    """
    draft = Manifest(format=FORMAT, id="0" * 64, **fields)
    return draft.model_copy(update={"id": hash_body(draft)})


def hash_body(manifest: Manifest) -> str:
    """The id that follows from everything else."""
    return hashlib.sha256(_encode(_dump(manifest, "id"))).hexdigest()


def hash_model(files: tuple[ModelFile, ...]) -> str:
    """A model's digest: the same files under the same names have the same one everywhere."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def build_alias(name: str, service: str, digest: str) -> str:
    """The local name of an image, unique to its content.

    Args:
        name: of the stack; ``_`` may not stand in a host, so it becomes ``-``.
        digest: of its manifest, as ``sha256:...``.
    """
    # Docker takes no '_' in the name of a host, and no '-' at its end.
    host = name.replace("_", "-").rstrip("-")
    return f"{host}.invalid/{service}:{digest.removeprefix('sha256:')[:ID_DIGITS]}"


def render_sums(manifest: Manifest) -> str:
    """``SHA256SUMS``, with which coreutils alone can check the parts and the bootstrap files."""
    lines = [(part.name, part.sha256) for part in manifest.parts]
    lines += [(f"{BOOTSTRAP_FOLDER}/{file.path}", file.sha256) for file in manifest.bootstrap]
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(lines))


def _dump(manifest: Manifest, *without: str) -> dict[str, Any]:
    return manifest.model_dump(mode="json", exclude={*without, *(["engine"] if manifest.engine is None else [])})


def _encode(value: object) -> bytes:
    # Keys are ASCII and numbers are integers, so this is RFC 8785's spelling.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
