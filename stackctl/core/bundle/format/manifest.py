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
    """Content of a bundle: a number of bytes, and their digest."""

    sha256: Sha256
    size: Size


class Member(Content):
    """One file inside a part.

    Attributes:
        part: number of the part, from 1.
        offset: offset in the part of the member's first byte, after its header.
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
    """The machine that a bundle is for.

    Attributes:
        python: versions of Python that the wheels are for, such as "3.11".
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
        uses: what the image is for: "api-gateway", "inference.none", "inference.nvidia" ...
        reference: the image's name, as the stack that was packed has it.
        alias: name that the image is loaded under; ``.invalid`` never resolves, so a stray pull fails at once.
        index: the registry's index; None where the reference named none.
        diff_ids: digests of the uncompressed layers, the lowest first.
        source: whether the bytes are a registry's, or a Docker engine's export of an image that was built.
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
        """All blobs of the image, the small ones first; a layer may stand twice."""
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
        served_names: names that clients ask for.
        digest: digest over the files' names and digests; it names the folder that the model is installed in.
        source, revision, licence: where the model comes from and how it may be used; empty where nobody stated it.
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
        path: path of the program among ``files``; its libraries lie beside it.
        title: name, version, and the GPU or CPU that the engine was built for.
        glibc, driver: lowest version of either that the engine runs with; empty where it needs none.
    """

    path: SafePath
    title: Text
    gpu: Literal["none", "nvidia", "amd", "vulkan"]
    glibc: Text
    driver: Text


class Requirements(Record):
    """What the machine must have to take the bundle.

    Attributes:
        stackctl: version that packed the bundle; a loader that knows only older formats refuses.
        docker: lowest version of the Docker engine, for the compose runtime.
        disk_bytes, engine_bytes: bytes that loading writes, and that the Docker engine writes at least for the images.
    """

    stackctl: Text
    docker: Text
    disk_bytes: Size
    engine_bytes: Size


class Manifest(Record):
    """The whole of ``bundle.json``; lists are sorted by path, name or place.

    Attributes:
        id: SHA-256 of the canonical bytes of all other fields, in hexadecimal.
        name: name of the stack that was packed.
        version: number that grows with every bundle of that name; an older one is not loaded over a newer one.
        blobs: every member that is a blob, in the order of the parts.
        engine: engine for the process runtime; where there is none the canonical bytes lack the field, as in older
            bundles.
        bootstrap: files beside the parts; empty in a delta whose base has the same ``bootstrap_digest``.
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
        """The first digits of the id."""
        return self.id[:ID_DIGITS]

    @property
    def folder(self) -> str:
        """Name of the bundle's folder."""
        return f"{self.name}-{self.short_id}"

    @property
    def size_bytes(self) -> int:
        """Size of all parts and of what lies beside them, in bytes; bundle.json and its signature are not counted."""
        return sum(part.size for part in self.parts) + sum(file.size for file in self.bootstrap)


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes: RFC 8785 for what these values can be, and a line end."""
    return _encode(_dump(manifest))


def seal_manifest(**fields: Any) -> Manifest:
    """Make a manifest from its fields, with the id that follows from them.

    Args:
        fields: every field but ``format`` and ``id``.
    """
    draft = Manifest(format=FORMAT, id="0" * 64, **fields)
    return draft.model_copy(update={"id": hash_body(draft)})


def hash_body(manifest: Manifest) -> str:
    """The id that follows from all other fields."""
    return hashlib.sha256(_encode(_dump(manifest, "id"))).hexdigest()


def hash_model(files: tuple[ModelFile, ...]) -> str:
    """A model's digest: equal files under equal names have an equal one everywhere."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def build_alias(name: str, service: str, digest: str) -> str:
    """The local name of an image, unique to its content.

    Args:
        name: name of the stack; ``_`` may not stand in a host, so it becomes ``-``.
        digest: digest of the image's manifest, as ``sha256:...``.
    """
    # Docker takes no '_' in the name of a host, and no '-' at its end.
    host = name.replace("_", "-").rstrip("-")
    return f"{host}.invalid/{service}:{digest.removeprefix('sha256:')[:ID_DIGITS]}"


def render_sums(manifest: Manifest) -> str:
    """The text of ``SHA256SUMS``, with which coreutils alone can check the parts and the bootstrap files."""
    lines = [(part.name, part.sha256) for part in manifest.parts]
    lines += [(f"{BOOTSTRAP_FOLDER}/{file.path}", file.sha256) for file in manifest.bootstrap]
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(lines))


def _dump(manifest: Manifest, *without: str) -> dict[str, Any]:
    return manifest.model_dump(mode="json", exclude={*without, *(["engine"] if manifest.engine is None else [])})


def _encode(value: object) -> bytes:
    # Keys are ASCII and numbers are integers, so this is RFC 8785's spelling.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
