"""Container images for tests as a registry would give them: layers, configuration, manifest and index."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackctl.core.bundle.format.manifest import Descriptor, Image, build_alias
from stackctl.core.images.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An image that a registry would give.

    Attributes:
        layers: each one's files, by path.
    """

    service: str
    layers: Sequence[Mapping[str, bytes]]
    reference: str = ""
    architecture: str = "amd64"
    has_index: bool = True


@dataclass
class Blobs:
    """Content by digest, in the order in which it was added."""

    data: dict[str, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> str:
        sha256 = hash_bytes(data)
        self.data.setdefault(sha256, data)
        return sha256

    def describe(self, data: bytes, media_type: str) -> Descriptor:
        return Descriptor(digest=f"sha256:{self.add(data)}", size=len(data), media_type=media_type)


def pack_image(blobs: Blobs, name: str, image: ImageBytes) -> Image:
    """Add the image's blobs, and describe it for a bundle of this name."""
    tars = [_make_tar(layer) for layer in image.layers]
    layers = tuple(blobs.describe(gzip.compress(tar, mtime=0), f"{OCI_LAYER}+gzip") for tar in tars)
    diff_ids = tuple(f"sha256:{hash_bytes(tar)}" for tar in tars)
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    platform = {"architecture": image.architecture, "os": "linux"}
    config = blobs.describe(_encode({**platform, "config": {"Cmd": ["/bin/true"]}, "rootfs": rootfs}), OCI_CONFIG)
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
    body |= {"config": _render(config), "layers": [_render(layer) for layer in layers]}
    manifest = blobs.describe(_encode(body), OCI_MANIFEST)
    index = None
    if image.has_index:
        entry = {**_render(manifest), "platform": platform}
        index = blobs.describe(_encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}), OCI_INDEX)
    return Image(
        uses=(image.service,),
        reference=image.reference or f"registry.example/{image.service}:1.0",
        alias=build_alias(name, image.service, manifest.digest),
        index=index,
        manifest=manifest,
        config=config,
        layers=layers,
        diff_ids=diff_ids,
        source="registry",
    )


def _make_tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def render_index(images: Iterable[Image]) -> bytes:
    """``index.json`` of an OCI image layout."""
    entries = [
        {**_render(image.index or image.manifest), "annotations": {"org.opencontainers.image.ref.name": image.alias}}
        for image in images
    ]
    return _encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})


def _render(blob: Descriptor) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def hash_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
