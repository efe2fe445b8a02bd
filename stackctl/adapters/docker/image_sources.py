"""Where a bundle's images come from: their registry, or the Docker engine for what was built here or no registry gives.

In: image names. Out: documents and layers' bytes. Reads only, but for a cache folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackctl.adapters.docker.docker_engine import connect_engine
from stackctl.adapters.docker.image_cache import load_image_content
from stackctl.adapters.docker.image_export import read_image, stream_layers
from stackctl.adapters.docker.image_store import TRANSFER_TIMEOUT_S, find_repo_digest, inspect_image
from stackctl.adapters.registry.registry import Registry
from stackctl.core.images.oci import ImageBlob, ImageContent, Platform
from stackctl.core.images.reference import parse_reference
from stackctl.errors import BundleError, ImageUnavailable, RuntimeFailure

if TYPE_CHECKING:
    import hashlib

    from docker import DockerClient


class ImageSources:
    """The images of one pack.

    cache_dir: folder that remembers what images are made of.
    """

    def __init__(
        self,
        cache_dir: Path,
        platform: Platform,
        report: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._cache_dir = cache_dir
        self.platform = platform
        self._report = report
        self._warn = warn
        self._registry = Registry(report=report)
        self._connection: DockerClient | None = None
        self._blobs: dict[str, ImageBlob] = {}

    def resolve(self, reference: str, is_local: bool) -> ImageContent:
        """Find an image's documents.

        Args:
            is_local: whether the image is built here, so that no registry is asked.

        Raises:
            BundleError: neither a registry nor the Docker engine has the image, or it cannot be carried in a bundle.
        """
        try:
            content = self._resolve(reference, is_local)
        except RuntimeFailure as error:
            raise BundleError(error.message, error.hint) from error
        self._blobs |= {blob.digest: blob for blob in content.facts.blobs}
        return content

    def open_blob(self, reference: str, digest: str, offset: int, before: hashlib._Hash | None) -> Iterator[bytes]:
        """Bytes of a blob of a registry's image from an offset on, checked against the blob's digest."""
        return self._registry.open_blob(reference, self._blobs[digest], offset, before)

    def stream_layers(self, reference: str, wanted: frozenset[str]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Layers of an image of the Docker engine, in the engine's order."""
        return stream_layers(self._engine(), reference, wanted)

    def _resolve(self, reference: str, is_local: bool) -> ImageContent:
        seen = self._inspect(reference)
        if is_local and seen is None:
            message = f"The image {reference} is built on this machine, and was not yet."
            raise BundleError(message, "run 'stackctl up' first: what is packed has then been seen to work")
        digest = find_repo_digest(self._engine(), reference) if seen and not is_local else ""
        if seen and not digest:
            return self._read_engine(reference, seen)
        try:
            return self._read_registry(reference, digest)
        except ImageUnavailable as error:
            if seen is None:
                raise
            reason = error.message.splitlines()[0]
            self._warn(f"{reference} is packed as the engine has it, because its registry did not give it: {reason}")
            return self._read_engine(reference, seen)

    def _read_registry(self, reference: str, digest: str) -> ImageContent:
        name = parse_reference(reference)
        digest = name.digest or digest
        if not digest:
            return self._registry.resolve(reference, self.platform)
        pinned = f"{name.repository}@{digest}"
        # A home that several machines share has one cache for all of them.
        key = f"registry {pinned} {self.platform}"
        return load_image_content(self._cache_dir, key, lambda: self._registry.resolve(pinned, self.platform))

    def _read_engine(self, reference: str, seen: Mapping[str, Any]) -> ImageContent:
        def read() -> ImageContent:
            self._report(f"exporting {reference} to learn its layers (once)")
            return read_image(self._engine(), reference)

        return load_image_content(self._cache_dir, f"engine {reference} {seen['Id']}", read)

    def _inspect(self, reference: str) -> Mapping[str, Any] | None:
        try:
            return inspect_image(self._engine(), reference)
        except ImageUnavailable:
            return None

    def _engine(self) -> DockerClient:
        if self._connection is None:
            self._connection = connect_engine(TRANSFER_TIMEOUT_S)
        return self._connection
