"""Read container images from their registry, byte for byte as it has them.

In: image names. Out: facts with the registry's own documents, and layers as streams of checked bytes.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping

from stackctl.adapters.registry.registry_connection import RegistryConnection
from stackctl.core.images.oci import INDEX_TYPES, MANIFEST_TYPES, ImageBlob, ImageContent, Platform
from stackctl.core.images.oci_documents import (
    MAX_DOCUMENT_BYTES,
    build_facts,
    choose_platform,
    find_document_type,
    parse_index,
    parse_manifest,
)
from stackctl.core.images.reference import ImageReference, parse_reference
from stackctl.errors import BundleError

_ACCEPT = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))


class Registry:
    """The registries that images come from; one object for one thread.

    Args:
        environment: variables that say where Docker's configuration is; this process's own by default.
        sleep: waits so many seconds between attempts.
        report: called with a line that says why it waits.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._connection = RegistryConnection(os.environ if environment is None else environment, sleep, report)

    def close(self) -> None:
        """Close every connection."""
        self._connection.close()

    def resolve(self, reference: str, platform: Platform) -> ImageContent:
        """Find an image and read its documents.

        Raises:
            ImageUnavailable: no registry gave the image.
            BundleError: what the registry gave is not what its digest says, or cannot be used.
        """
        image = parse_reference(reference)
        data, media_type = self._load_manifest(image, image.digest)
        index, documents = None, {}
        manifest = _describe(data, media_type)
        if media_type in INDEX_TYPES:
            index = manifest
            documents[index.digest] = data
            manifest = choose_platform(parse_index(data, str(image)), platform, str(image)).blob
            data, _ = self._load_manifest(image, manifest.digest, manifest)
        documents[manifest.digest] = data
        config, _ = parse_manifest(data, str(image))
        documents[config.digest] = self._load_config(image, config)
        facts = build_facts(str(image), "registry", index, manifest, documents)
        if (facts.os, facts.architecture) != (platform.os, platform.architecture):
            seen = Platform(facts.os, facts.architecture, facts.variant)
            raise BundleError(f"The image {image} is for {seen}, expected {platform}.", "name an image for it")
        return ImageContent(facts, documents)

    def find_digest(self, reference: str) -> str:
        """The digest of what a name stands for: the index where the image has one, otherwise the manifest.

        Raises:
            ImageUnavailable: no registry gave the image.
            BundleError: what the registry gave is no image.
        """
        image = parse_reference(reference)
        return _describe(*self._load_manifest(image, image.digest)).digest

    def open_blob(
        self, reference: str, blob: ImageBlob, offset: int = 0, hashed: hashlib._Hash | None = None
    ) -> Iterator[bytes]:
        """Bytes of a blob from ``offset`` on, in chunks of 1 MiB; a cut connection is continued where it broke.

        Args:
            hashed: SHA-256 of the bytes before ``offset``, which is updated; without it a blob that is not read from
                its beginning has only its size checked.

        Raises:
            ImageUnavailable: the registry does not give the blob.
            BundleError: the blob's size or digest is not the one expected; the bytes already given are not to be used.
        """
        image = parse_reference(reference)
        digest = hashed if hashed is not None else hashlib.sha256() if offset == 0 else None
        reached = offset
        for chunk in self._connection.read_on(image, f"blobs/{blob.digest}", offset, blob.size):
            reached += len(chunk)
            if reached > blob.size:
                raise _refuse(image, blob, f"it has more than {blob.size} bytes")
            if digest is not None:
                digest.update(chunk)
            yield chunk
        if reached != blob.size:
            raise _refuse(image, blob, f"it has {reached} bytes, expected {blob.size}")
        if digest is not None and f"sha256:{digest.hexdigest()}" != blob.digest:
            raise _refuse(image, blob, f"its bytes have the digest sha256:{digest.hexdigest()}")

    def _load_config(self, image: ImageReference, config: ImageBlob) -> bytes:
        if config.size > MAX_DOCUMENT_BYTES:
            raise _refuse(image, config, f"its configuration has {config.size} bytes, at most 4 MiB are expected")
        return b"".join(self.open_blob(str(image), config))

    def _load_manifest(
        self, image: ImageReference, digest: str, expected: ImageBlob | None = None
    ) -> tuple[bytes, str]:
        """The original bytes of an index or a manifest, and its media type.

        Args:
            digest: digest to ask for; empty asks for the tag.
        """
        path = f"manifests/{digest or image.tag}"
        data, headers = self._connection.load_document(image, path, _ACCEPT, MAX_DOCUMENT_BYTES)
        announced = expected.media_type if expected else headers.get("Content-Type", "")
        digest = digest or headers.get("Docker-Content-Digest", "")
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest.startswith("sha256:") and found != digest:
            raise BundleError(
                f"The manifest of {image} has the digest {found}, expected {digest}.", "try again, or ask who runs it"
            )
        return data, find_document_type(data, announced, str(image))


def _describe(data: bytes, media_type: str) -> ImageBlob:
    return ImageBlob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), media_type)


def _refuse(image: ImageReference, blob: ImageBlob, seen: str) -> BundleError:
    return BundleError(f"Blob {blob.digest} of {image} is not what was promised: {seen}.", "try again")
