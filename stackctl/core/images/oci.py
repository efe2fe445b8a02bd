"""What a container image is made of: its blobs, its platform and the media types; values and their OCI spelling. Pure.

Reading documents that nobody vouched for is oci_documents.py's job.

Source: OCI image-spec 1.1 (descriptor, manifest); Docker image manifest v2, schema 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"

INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIG_TYPES: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
LAYER_TYPES: Final = frozenset(
    {f"{OCI_LAYER}{packed}" for packed in ("", "+gzip", "+zstd")}
    | {f"{_DOCKER_LAYER}{packed}" for packed in ("", ".gzip", ".zstd")}
)


@dataclass(frozen=True, slots=True)
class ImageBlob:
    """One piece of an image: ``digest`` is ``sha256:<64 hex>``, ``size`` in bytes."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Platform:
    """The operating system and processor that an image is for."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """The platform as Docker writes it: ``linux/arm64/v8``."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image of one platform.

    Attributes:
        reference: fully spelled name of the image, as the stack has it.
        index: the multi-platform document that the image was chosen from; ``None`` where there is none.
        diff_ids: digests of the uncompressed layers, the lowest first.
        source: whether a registry or a Docker engine gave the bytes.
    """

    reference: str
    index: ImageBlob | None
    manifest: ImageBlob
    config: ImageBlob
    layers: tuple[ImageBlob, ...]
    diff_ids: tuple[str, ...]
    os: str
    architecture: str
    variant: str
    source: Literal["registry", "engine"]

    @property
    def blobs(self) -> tuple[ImageBlob, ...]:
        """Index, manifest, configuration and layers, each once."""
        head = (self.index,) if self.index else ()
        every = (*head, self.manifest, self.config, *self.layers)
        return tuple({blob.digest: blob for blob in every}.values())


@dataclass(frozen=True, slots=True)
class ImageContent:
    """An image and the bytes of its small documents (index, manifest, configuration), by digest."""

    facts: ImageFacts
    documents: Mapping[str, bytes]


def render_manifest(config: ImageBlob, layers: Sequence[ImageBlob]) -> bytes:
    """An OCI manifest for an image that has none, in the bytes that Docker itself would write."""
    tree = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": render_descriptor(config),
        "layers": [render_descriptor(layer) for layer in layers],
    }
    return json.dumps(tree, separators=(",", ":")).encode()


def render_descriptor(blob: ImageBlob) -> dict[str, Any]:
    """An OCI content descriptor."""
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
