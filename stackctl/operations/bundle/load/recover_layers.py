"""Layers that a delta leaves to its base and that Docker has, but would not find by itself: taken out of it again.

In: digests of layers. Out: the layers, staged. Does I/O through its effects. A Docker engine with layers of its own
knows a layer only on top of the same ones; one with blobs, only by whole images.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.load.plan import Output, blob_path, plan_blob
from stackctl.core.images.oci import OCI_LAYER, ImageBlob, ImageFacts

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.effects import ImageEngine, Staging


@dataclass(frozen=True, slots=True, order=True)
class Recovery:
    """A layer to take out of the Docker engine.

    Attributes:
        alias: name of an image of the base that has the layer.
        digest: digest under which the Docker engine exports it: the layer's own, or that of its uncompressed bytes.
        layer: digest of the layer in the bundle.
    """

    alias: str
    digest: str
    layer: str


def find_recoveries(engine: ImageEngine, base: Manifest, missing: Collection[str]) -> tuple[Recovery, ...]:
    """Find where the Docker engine has these blobs.

    Args:
        base: the installed release; its images' names still mean what they meant.
        missing: SHA-256 of each blob.
    """
    found: dict[str, Recovery] = {}
    for image in base.images:
        for layer, diff_id in zip(image.layers, image.diff_ids, strict=True):
            if layer.digest.removeprefix("sha256:") in missing:
                digest = layer.digest if engine.keeps_blobs else diff_id
                found.setdefault(layer.digest, Recovery(image.alias, digest, layer.digest))
    return tuple(sorted(found.values()))


def recover_layers(engine: ImageEngine, staging: Staging, recoveries: Collection[Recovery]) -> dict[str, ImageBlob]:
    """Stage layers that the Docker engine exports.

    Returns:
        The blob that stands for each layer, by the layer's digest in the bundle.
    """
    staged: dict[str, ImageBlob] = {}
    for alias, group in groupby(sorted(recoveries), lambda item: item.alias):
        layers = {item.digest: item.layer for item in group}
        for digest, size, pieces in engine.export(alias, frozenset(layers)):
            content = plan_blob(digest.removeprefix("sha256:"), size)
            staging.prepare([Output(blob_path(content.sha256), size)], [content])
            if not staging.is_done(content) or staging.find_wrong([content], lambda size: None):
                staging.write(content, pieces)
            staged[layers[digest]] = ImageBlob(digest, size, OCI_LAYER)
    staging.flush()
    return staged


def replace_layers(facts: ImageFacts, staged: dict[str, ImageBlob]) -> ImageFacts:
    """The image as it is sent, with what stands for its recovered layers."""
    return replace(facts, layers=tuple(staged.get(layer.digest, layer) for layer in facts.layers))
