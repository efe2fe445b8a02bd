"""The Docker engine's images with what each takes of the disk, and their removal. Does I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stackctl.adapters.docker.image_store import remove_alias
from stackctl.core.images.prune import EngineImage

if TYPE_CHECKING:
    from docker import DockerClient


class EngineImages:
    """The images of one Docker engine."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client

    def list_images(self) -> tuple[EngineImage, ...]:
        """Every image, with the containers, stopped ones too, that are made of it."""
        engine: Any = self._client.api
        used = {container["ImageID"] for container in engine.containers(all=True)}
        return tuple(
            EngineImage(
                tuple(item.get("RepoTags") or ()),
                max(item["Size"] - max(item["SharedSize"], 0), 0),
                item["Id"] in used,
            )
            for item in engine.df()["Images"] or ()
        )

    def remove(self, name: str) -> bool:
        """Take the name away, and the image with its last name; whether it is gone: what a container uses stays."""
        return remove_alias(self._client, name)
