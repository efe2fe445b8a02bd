"""Which image lies in what ``docker save`` exported: the facts, from its documents and the sizes of its blobs.

In: the documents' bytes by digest or file name. Out: facts and documents. Pure.

Source: moby, image/tarexport/save.go (Docker 25 and later write an OCI layout); OCI image-spec 1.1, image layout.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from stackctl.core.images.oci import (
    INDEX_TYPES,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageBlob,
    ImageContent,
    Platform,
    render_manifest,
)
from stackctl.core.images.oci_documents import (
    IndexEntry,
    build_facts,
    choose_platform,
    find_config_path,
    parse_config,
    parse_index,
    parse_manifest,
)
from stackctl.errors import BundleError

_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class SavedImage:
    """What ``docker save`` exported, as far as it was kept.

    Attributes:
        sizes: size of every blob in bytes, by digest.
        files: bytes of the JSON documents, by digest or, for those that are no blobs, by file name.
    """

    sizes: Mapping[str, int]
    files: Mapping[str, bytes]


def read_docker_image(saved: SavedImage, reference: str) -> ImageContent:
    """An image of the store with its own layers: uncompressed layers, and a manifest that is made here.

    Raises:
        BundleError: the export is incomplete or of a Docker engine older than 25.
    """
    path = find_config_path(_get(saved, "manifest.json", reference), reference)
    match = _BLOB.fullmatch(path)
    if not match:
        raise BundleError(
            f"The engine exported {reference} in the form of before Docker 25.", "update the Docker engine"
        )
    data = _get(saved, f"sha256:{match[1]}", reference)
    config = ImageBlob(f"sha256:{match[1]}", len(data), OCI_CONFIG)
    diff_ids = parse_config(data, reference).diff_ids
    if missing := [digest for digest in diff_ids if digest not in saved.sizes]:
        raise _incomplete(reference, ", ".join(missing))
    # An uncompressed layer's digest is its diff id.
    layers = [ImageBlob(digest, saved.sizes[digest], OCI_LAYER) for digest in diff_ids]
    made = render_manifest(config, layers)
    manifest = ImageBlob(f"sha256:{hashlib.sha256(made).hexdigest()}", len(made), OCI_MANIFEST)
    documents = {manifest.digest: made, config.digest: data}
    return ImageContent(build_facts(reference, "engine", None, manifest, documents), documents)


def read_containerd_image(saved: SavedImage, reference: str, wanted: Platform) -> ImageContent:
    """An image of the containerd store: the documents that it was pulled or built with.

    Args:
        wanted: the Docker engine's own platform, which decides when it has several.

    Raises:
        BundleError: the Docker engine does not have every blob of any platform.
    """
    roots = parse_index(_get(saved, "index.json", reference), reference)
    if not roots:
        raise _incomplete(reference, "an entry in index.json")
    root, index, documents = roots[0].blob, None, {}
    if root.media_type in INDEX_TYPES:
        index, documents[root.digest] = root, _get(saved, root.digest, reference)
        whole = [entry for entry in parse_index(documents[root.digest], reference) if _is_whole(entry, saved)]
        root = whole[0].blob if len(whole) == 1 else choose_platform(whole, wanted, reference).blob
    documents[root.digest] = _get(saved, root.digest, reference)
    config, layers = parse_manifest(documents[root.digest], reference)
    documents[config.digest] = _get(saved, config.digest, reference)
    if missing := [layer.digest for layer in layers if layer.digest not in saved.sizes]:
        raise _incomplete(reference, ", ".join(missing))
    return ImageContent(build_facts(reference, "engine", index, root, documents), documents)


def _is_whole(entry: IndexEntry, saved: SavedImage) -> bool:
    """Whether the Docker engine has all of this platform: of an index it usually pulled one only."""
    if entry.is_attestation or entry.blob.digest not in saved.files:
        return False
    config, layers = parse_manifest(saved.files[entry.blob.digest], entry.blob.digest)
    return config.digest in saved.files and all(layer.digest in saved.sizes for layer in layers)


def _get(saved: SavedImage, name: str, reference: str) -> bytes:
    if name not in saved.files:
        raise _incomplete(reference, name)
    return saved.files[name]


def _incomplete(reference: str, missing: str) -> BundleError:
    return BundleError(
        f"The engine did not export all of {reference}; missing: {missing}.", f"pull or build {reference} again"
    )
