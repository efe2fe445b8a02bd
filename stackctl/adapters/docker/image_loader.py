"""The container engine as loading and going back see it: which images it has, and how it gets others."""

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
    """One engine.

    Args:
        find_disk: the file system of a folder, for a title and a number of bytes needed there.
    """

    def __init__(self, find_disk: Callable[[str, int, Path], Disk]) -> None:
        """Connect.

        Raises:
            RuntimeFailure: no engine answers.
        """
        self._client: DockerClient = connect_engine(TRANSFER_TIMEOUT_S)
        self._find_disk = find_disk

    @property
    def keeps_blobs(self) -> bool:
        """Whether it keeps a registry's layers as they are, or only what they unpack to."""
        return has_containerd_store(self._client)

    def check(self, facts: ImageFacts, alias: str) -> list[Finding]:
        """Whether the engine's image of this name is the one that was meant."""
        return check_identity(self._client, facts, alias)

    def find_present(self, images: Sequence[ImageFacts]) -> frozenset[str]:
        """Digests of layers that need not be sent."""
        return find_present_layers(self._client, images)

    def has(self, facts: ImageFacts) -> bool:
        """Whether the engine has the image, under whatever name or none."""
        return bool(self._find_identity(facts))

    def name(self, facts: ImageFacts, alias: str) -> None:
        """Give an image that the engine has one more name."""
        tag_image(self._client, self._find_identity(facts), alias)

    def remove(self, alias: str) -> bool:
        """Take a name away, and with an image's last name the image; one that a container uses stays."""
        return remove_alias(self._client, alias)

    def _find_identity(self, facts: ImageFacts) -> str:
        for identity in (facts.manifest.digest, facts.config.digest):
            try:
                return str(inspect_image(self._client, identity)["Id"])
            except ImageUnavailable:
                continue
        return ""

    def export(self, alias: str, wanted: frozenset[str]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Layers of an image: digest, size in bytes, bytes."""
        return stream_layers(self._client, alias, wanted)

    def load(self, chunks: Iterable[bytes], report: Callable[[str], None]) -> None:
        """Send a tar of images while it is made."""
        load_images(self._client, chunks, report)

    def find_disk(self, needed_bytes: int) -> Disk | None:
        """Where the engine keeps images; ``None`` when that is not on this machine."""
        root = Path(str(self._client.info().get("DockerRootDir") or ""))
        address = str(self._client.api.base_url)
        is_local = address.startswith(("http+unix:", "http+docker:")) and root.is_absolute() and root.is_dir()
        return self._find_disk("images in the Docker engine", needed_bytes, root) if is_local else None
