"""An image in a registry, as the tests of this folder take it from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from docker import DockerClient

from stackctl.adapters.docker.image_store import (
    load_images,
)
from stackctl.adapters.registry.registry import Registry
from stackctl.core.images.load_tar import build_load_tar
from stackctl.core.images.oci import ImageContent, Platform
from tests.docker.registry import PASSWORD, USER

LOGIN = {"username": USER, "password": PASSWORD}
CONNECT = "import socket; socket.create_connection(('198.18.0.1', 80), 5)"


@dataclass(frozen=True, slots=True)
class Source:
    """An image in the registry: what is known of it, and its blobs."""

    content: ImageContent
    registry: Registry

    @property
    def alias(self) -> str:
        """The name it is loaded under."""
        facts = self.content.facts
        name = facts.reference.partition("/")[2].partition(":")[0].replace("/", "-")
        return f"stack-test.invalid/{name}:{facts.manifest.digest[7:19]}"

    def open_blob(self, digest: str) -> Iterator[bytes]:
        """From the registry."""
        blob = next(blob for blob in self.content.facts.blobs if blob.digest == digest)
        return self.registry.open_blob(self.content.facts.reference, blob)

    def load(
        self,
        client: DockerClient,
        skip: frozenset[str] = frozenset(),
        open_blob: Callable[[str], Iterable[bytes]] | None = None,
    ) -> list[str]:
        """Load it into an engine; what the engine said."""
        said: list[str] = []
        images = [(self.content.facts, self.alias)]
        load_images(
            client, build_load_tar(images, open_blob or self.open_blob, self.content.documents, skip), said.append
        )
        return said


def push(client: DockerClient, name: str, login: Mapping[str, str] | None = None) -> None:
    """Push an image; Docker reports a failure in its stream."""
    lines = list(client.api.push(name, stream=True, decode=True, auth_config=dict(login) if login else None))
    assert not [line for line in lines if "error" in line], lines


def find_platform(client: DockerClient) -> Platform:
    version = client.version()
    return Platform(version["Os"], version["Arch"])
