"""Read what image indexes, manifests and configurations say, and check it before anyone acts on it.

In: documents as bytes, from a registry or a Docker engine, neither of which is trusted. Out: frozen values. Pure.

Source: OCI image-spec 1.1 (index, manifest, config, descriptor); Docker image manifest v2, schema 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from stackctl.core.images.oci import (
    CONFIG_TYPES,
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPES,
    ImageBlob,
    ImageFacts,
    Platform,
)
from stackctl.core.images.reference import is_digest
from stackctl.errors import BundleError

MAX_DOCUMENT_BYTES: Final = 4 << 20
MAX_LAYERS: Final = 512
MAX_PLATFORMS: Final = 256
MAX_BLOB_BYTES: Final = 1 << 40

_ATTESTATION: Final = "vnd.docker.reference.type"
# Which variants serve a machine that asks for none, the best first (containerd's platform defaults).
_VARIANTS: Final = {"amd64": ("", "v1"), "arm64": ("", "v8")}


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One manifest that an index lists; ``is_attestation`` is true where it is about another one, not an image."""

    blob: ImageBlob
    platform: Platform | None
    is_attestation: bool


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a configuration document says; a diff id is the digest of a layer's uncompressed tar."""

    platform: Platform
    diff_ids: tuple[str, ...]


def parse_platform(text: str) -> Platform:
    """Read ``linux/arm64`` or ``linux/arm64/v8``.

    Raises:
        BundleError: the text has another form.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise BundleError(f"{text!r} is not a platform.", "write it as linux/amd64 or linux/arm64/v8")
    return Platform(*parts)


def find_document_type(data: bytes, announced: str, subject: str) -> str:
    """Media type of an index or a manifest.

    Args:
        announced: media type that the registry or the descriptor states; empty when none is stated.

    Raises:
        BundleError: the document is neither, or could be read as both (CVE-2021-41190).
    """
    tree = _parse_object(data, subject)
    stated = _read_text(tree, "mediaType", subject)
    found = stated or announced.partition(";")[0].strip()
    if stated and announced in INDEX_TYPES | MANIFEST_TYPES and stated != announced:
        raise _refuse(subject, f"it was announced as {announced} and calls itself {stated}")
    if "manifests" in tree and ("layers" in tree or "config" in tree):
        raise _refuse(subject, "it is an index and a manifest at once")
    if found not in INDEX_TYPES | MANIFEST_TYPES:
        raise _refuse(subject, f"its media type is {found or 'not given'!r}, expected an image index or manifest")
    if (found in INDEX_TYPES) != ("manifests" in tree):
        raise _refuse(subject, f"its content is not that of {found}")
    return found


def parse_index(data: bytes, subject: str) -> tuple[IndexEntry, ...]:
    """Read an index.

    Args:
        subject: name of the image in errors, as the user wrote it.

    Raises:
        BundleError: the document is no usable index.
    """
    tree = _parse_object(data, subject)
    listed = _read_list(tree, "manifests", MAX_PLATFORMS, subject)
    return tuple(_read_entry(item, f"{subject}, index entry {number}") for number, item in enumerate(listed, 1))


def choose_platform(entries: Sequence[IndexEntry], wanted: Platform, subject: str) -> IndexEntry:
    """The image for a platform; attestations and artefacts that are not images are passed over.

    Raises:
        BundleError: the index has no image for the platform; names the platforms that it has.
    """
    images = [entry for entry in entries if not entry.is_attestation and entry.blob.media_type in MANIFEST_TYPES]
    variants = (wanted.variant,) if wanted.variant else _VARIANTS.get(wanted.architecture, ("",))
    # An entry without a variant serves one that asks for the architecture's first variant.
    if wanted.variant in _VARIANTS.get(wanted.architecture, ())[1:]:
        variants = (wanted.variant, "")
    for variant in variants:
        for entry in images:
            if entry.platform == Platform(wanted.os, wanted.architecture, variant):
                return entry
    there = ", ".join(sorted({str(entry.platform) for entry in images if entry.platform})) or "none that is named"
    raise _refuse(subject, f"it has no image for {wanted}; its platforms: {there}")


def parse_manifest(data: bytes, subject: str) -> tuple[ImageBlob, tuple[ImageBlob, ...]]:
    """Read a manifest.

    Returns:
        The configuration and the layers, the lowest first.

    Raises:
        BundleError: the document is no usable image manifest, or a layer may not or cannot be carried in a bundle.
    """
    tree = _parse_object(data, subject)
    config = _read_blob(tree.get("config"), f"{subject}, configuration")
    artefact = _read_text(tree, "artifactType", subject) or ("" if config.media_type in CONFIG_TYPES else "unknown")
    if artefact:
        raise _refuse(subject, f"it is not a container image but {artefact} with {config.media_type}")
    listed = _read_list(tree, "layers", MAX_LAYERS, subject)
    layers = tuple(_read_layer(item, f"{subject}, layer {number}") for number, item in enumerate(listed, 1))
    return config, layers


def parse_config(data: bytes, subject: str) -> ImageConfig:
    """Read a configuration document.

    Raises:
        BundleError: the document is no image configuration.
    """
    tree = _parse_object(data, subject)
    rootfs = tree.get("rootfs")
    if not isinstance(rootfs, dict) or rootfs.get("type") != "layers":
        raise _refuse(subject, "its configuration has no rootfs of layers")
    diff_ids = _read_list(rootfs, "diff_ids", MAX_LAYERS, subject)
    for diff_id in diff_ids:
        _check_digest(diff_id, f"{subject}, diff id")
    names = [_read_text(tree, name, subject) for name in ("os", "architecture", "variant")]
    if not names[0] or not names[1]:
        raise _refuse(subject, "its configuration does not say its operating system and architecture")
    return ImageConfig(Platform(*names), tuple(diff_ids))


def find_config_path(data: bytes, subject: str) -> str:
    """Path of the configuration in the ``manifest.json`` of an exported image.

    Raises:
        BundleError: the document does not describe exactly one image.
    """
    tree = _parse_json(data, subject)
    if not isinstance(tree, list) or len(tree) != 1 or not isinstance(tree[0], dict):
        raise _refuse(subject, "its manifest.json does not describe exactly one image")
    return _read_text(tree[0], "Config", subject)


def build_facts(
    reference: str,
    source: Literal["registry", "engine"],
    index: ImageBlob | None,
    manifest: ImageBlob,
    documents: Mapping[str, bytes],
) -> ImageFacts:
    """Put one image together from its documents, and check that they fit each other.

    Args:
        documents: documents by digest; the manifest and its configuration are among them.

    Raises:
        BundleError: a document is unusable, or manifest and configuration speak of different layers.
    """
    config_blob, layers = parse_manifest(documents[manifest.digest], reference)
    config = parse_config(documents[config_blob.digest], reference)
    if len(layers) != len(config.diff_ids):
        raise _refuse(reference, f"it has {len(layers)} layers and {len(config.diff_ids)} diff ids")
    platform = config.platform
    return ImageFacts(
        reference=reference,
        index=index,
        manifest=manifest,
        config=config_blob,
        layers=layers,
        diff_ids=config.diff_ids,
        os=platform.os,
        architecture=platform.architecture,
        variant=platform.variant,
        source=source,
    )


def _read_entry(item: object, subject: str) -> IndexEntry:
    blob = _read_blob(item, subject)
    assert isinstance(item, dict)
    named = item.get("platform")
    platform = None
    if isinstance(named, dict):
        platform = Platform(*(_read_text(named, name, subject) for name in ("os", "architecture", "variant")))
    annotations = item.get("annotations")
    is_about = isinstance(annotations, dict) and _ATTESTATION in annotations
    is_unknown = platform is not None and platform.os == "unknown"
    return IndexEntry(blob, platform, is_about or is_unknown or "artifactType" in item)


def _read_layer(item: object, subject: str) -> ImageBlob:
    blob = _read_blob(item, subject)
    assert isinstance(item, dict)
    if "nondistributable" in blob.media_type or "foreign" in blob.media_type or item.get("urls"):
        raise _refuse(subject, f"its licence or its maker keeps it elsewhere ({blob.media_type}), so it cannot travel")
    if blob.media_type not in LAYER_TYPES:
        raise _refuse(subject, f"its media type is {blob.media_type!r}, expected a file system layer")
    return blob


def _read_blob(item: object, subject: str) -> ImageBlob:
    if not isinstance(item, dict):
        raise _refuse(subject, "it is not a descriptor")
    digest, size = item.get("digest"), item.get("size")
    _check_digest(digest, subject)
    if type(size) is not int or not 0 <= size <= MAX_BLOB_BYTES:
        raise _refuse(subject, f"its size is {str(size)[:40]}, expected a whole number of bytes up to 1 TiB")
    return ImageBlob(str(digest), size, _read_text(item, "mediaType", subject))


def _check_digest(digest: object, subject: str) -> None:
    if not isinstance(digest, str) or not is_digest(digest):
        raise _refuse(subject, f"its digest is {str(digest)[:80]!r}, expected sha256: and 64 hexadecimal digits")


def _read_text(tree: Mapping[str, Any], name: str, subject: str) -> str:
    value = tree.get(name, "")
    if not isinstance(value, str) or len(value) > 256:
        raise _refuse(subject, f"its {name} is not a short text")
    return value


def _read_list(tree: Mapping[str, Any], name: str, limit: int, subject: str) -> list[Any]:
    value = tree.get(name)
    if not isinstance(value, list):
        raise _refuse(subject, f"it has no list of {name}")
    if len(value) > limit:
        raise _refuse(subject, f"it has {len(value)} {name}, at most {limit} are expected")
    return value


def _parse_object(data: bytes, subject: str) -> dict[str, Any]:
    tree = _parse_json(data, subject)
    if not isinstance(tree, dict):
        raise _refuse(subject, "a document of it is not a JSON object")
    return tree


def _parse_json(data: bytes, subject: str) -> Any:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise _refuse(subject, f"a document of it has {len(data)} bytes, at most {MAX_DOCUMENT_BYTES} are expected")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_refuse_twins)
    except (ValueError, RecursionError) as error:
        raise _refuse(subject, f"a document of it is not usable JSON ({error})") from error


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return tree


def _refuse(subject: str, seen: str) -> BundleError:
    return BundleError(
        f"The image {subject} cannot be used: {seen}.", "name another image, or ask its publisher for a plain one"
    )
