"""Documents of container images as registries and engines have them, for tests of what reads them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from stackctl.core.images.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST


def digest(data: bytes) -> str:
    """The digest of these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def describe(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """A content descriptor of these bytes."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def encode(tree: object) -> bytes:
    """JSON."""
    return json.dumps(tree).encode()


def make_config(*layers: bytes, **more: Any) -> bytes:
    """An image's configuration for linux/amd64."""
    diff_ids = [digest(layer) for layer in layers]
    return encode({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}, **more})


def make_manifest(config: bytes, /, *layers: bytes, **more: Any) -> bytes:
    """An image's manifest."""
    listed = [describe(layer, OCI_LAYER) for layer in layers]
    tree = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": describe(config, OCI_CONFIG), "layers": listed}
    return encode({**tree, **more})


def make_index(*entries: dict[str, Any]) -> bytes:
    """An index."""
    return encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)})


def describe_entry(name: bytes, platform: str, media_type: str = OCI_MANIFEST, **more: Any) -> dict[str, Any]:
    """An entry of an index for a platform such as ``linux/arm64/v8``."""
    names = ("os", "architecture", "variant")
    return describe(name, media_type, platform=dict(zip(names, platform.split("/"), strict=False)), **more)
