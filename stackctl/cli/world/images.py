"""The adapters of images: the Docker engine's, and those of registries."""

from __future__ import annotations

from stackctl.adapters.docker.docker_engine import connect_engine
from stackctl.adapters.docker.image_prune import EngineImages
from stackctl.adapters.registry.registry_digests import find_digests as find_digests


def build_image_store() -> EngineImages:
    """The images of the Docker engine that the docker command uses.

    Raises:
        RuntimeFailure: no Docker engine answers.
    """
    return EngineImages(connect_engine())
