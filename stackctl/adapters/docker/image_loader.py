"""The Docker engine as loading and rollback see it: which images it has, and how it gets others. Does I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.docker.docker_engine import connect_engine
from stackctl.adapters.docker.image_export import stream_layers
from stackctl.adapters.docker.image_store import (
    TRANSFER_TIMEOUT_S,
    check_identity,
    find_present_layers,
    has_containerd_store,
    inspect_image,
    load_images,
    remove_alias,
    tag_image,
)
from stackctl.core.bundle.load.checks import Disk
from stackctl.core.images.oci import ImageFacts
from stackctl.errors import Finding, ImageUnavailable

if TYPE_CHECKING:
    from docker import DockerClient


class ImageLoader:
    """The images of one Docker engine.

    Args:
        find_disk: finds the file system of a folder, given a title and the bytes needed there.
    """

    def __init__(self, find_disk: Callable[[str, int, Path], Disk]) -> None:
        """Connect to the Docker engine.

        Raises:
            RuntimeFailure: no Docker engine answers.
        """
        self._client: DockerClient = connect_engine(TRANSFER_TIMEOUT_S)
        self._find_disk = find_disk

    @property
    def keeps_blobs(self) -> bool:
        """Whether the Docker engine keeps a registry's layers as they are, or only what they unpack to."""
        return has_containerd_store(self._client)

    def check(self, facts: ImageFacts, alias: str) -> list[Finding]:
        """Check that the Docker engine's image of this name is the one that was meant."""
        return check_identity(self._client, facts, alias)

    def find_present(self, images: Sequence[ImageFacts]) -> frozenset[str]:
        """Digests of the layers that need not be sent, because the Docker engine has them."""
        return find_present_layers(self._client, images)

    def has(self, facts: ImageFacts) -> bool:
        """Whether the Docker engine has the image, under whatever name or none."""
        return bool(self._find_identity(facts))

    def name(self, facts: ImageFacts, alias: str) -> None:
        """Give an image that the Docker engine has one more name."""
        tag_image(self._client, self._find_identity(facts), alias)

    def remove(self, alias: str) -> bool:
        """Take a name away, and the image with its last name; whether it is gone: what a container uses stays."""
        return remove_alias(self._client, alias)

    def _find_identity(self, facts: ImageFacts) -> str:
        for identity in (facts.manifest.digest, facts.config.digest):
            try:
                return str(inspect_image(self._client, identity)["Id"])
            except ImageUnavailable:
                continue
        return ""

    def export(self, alias: str, wanted: frozenset[str]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Layers of an image that the Docker engine has: digest, size in bytes, bytes."""
        return stream_layers(self._client, alias, wanted)

    def load(self, chunks: Iterable[bytes], report: Callable[[str], None]) -> None:
        """Send a tar of images to the Docker engine while it is made."""
        load_images(self._client, chunks, report)

    def find_disk(self, needed_bytes: int) -> Disk | None:
        """The disk where the Docker engine keeps images; ``None`` when that is not on this machine."""
        root = Path(str(self._client.info().get("DockerRootDir") or ""))
        address = str(self._client.api.base_url)
        is_local = address.startswith(("http+unix:", "http+docker:")) and root.is_absolute() and root.is_dir()
        return self._find_disk("images in the Docker engine", needed_bytes, root) if is_local else None
