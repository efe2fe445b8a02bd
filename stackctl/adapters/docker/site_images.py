"""The images of one site's containers: which of them are missing, and how those get here.

In: names, builds, the engine. Out: commands, or images that are there. Does I/O: asks the engine, pulls and builds.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.docker.image_fetch import build_image, check_named_image, pull_image
from stackctl.errors import ImageUnavailable

if TYPE_CHECKING:
    from docker import DockerClient

    from stackctl.core.images.build import ImageBuild
    from stackctl.core.images.checks import NamedImage

# Gives a client of the engine; it is asked only where something is to be looked at.
Connect = Callable[[], "DockerClient"]


@dataclass(frozen=True, slots=True)
class SiteImages:
    """What the containers of a site are made of.

    Attributes:
        pulled: images that come from a registry when they are not there yet.
        builds: images that are built here when they are not there yet.
        loaded: images that an installed release brought; then nothing is ever pulled.
        named: images that settings name; each is looked at before a container is made of it.
    """

    pulled: tuple[str, ...] = ()
    builds: tuple[ImageBuild, ...] = ()
    loaded: tuple[str, ...] = ()
    named: tuple[NamedImage, ...] = ()

    def list_commands(self, connect: Connect) -> tuple[str, ...]:
        """The commands that bring what is missing, for a dry run."""
        pulls = [f"docker pull {image}" for image in self.pulled if not _has_image(connect, image)]
        missing = [item for item in self.builds if not _has_image(connect, item.tag)]
        return (*pulls, *(shlex.join(item.build_argv()) for item in missing))

    def bring(
        self,
        connect: Connect,
        logs: Path,
        report: Callable[[str], None],
        wants: Callable[[str], bool] = lambda image: True,
    ) -> None:
        """Build and pull those images that are wanted and not there.

        Args:
            logs: folder that keeps what a build prints.

        Raises:
            RuntimeFailure: a build or a pull failed; has the end of its output.
            ImageUnavailable: an image of the installed release is not in the Docker engine.
            ConfigError: a setting names an image of another program or for another processor.
        """
        missing = [image for image in self.loaded if wants(image) and not _has_image(connect, image)]
        if missing:
            raise ImageUnavailable(
                f"The engine does not have images of the installed release: {', '.join(missing)}.",
                "run 'stackctl offline-load' with its bundle again: it brings what is missing",
            )
        # Pulls first: what no registry gives is known before minutes of building.
        for image in self.pulled:
            if wants(image) and not _has_image(connect, image):
                pull_image(image, report)
        for named in self.named:
            if wants(named.image):
                check_named_image(connect(), named)
        for build in self.builds:
            if wants(build.tag) and not _has_image(connect, build.tag):
                build_image(build, logs / f"build-{build.title}.log", report)


# For a stack that is only looked at or stopped.
NO_IMAGES = SiteImages()


def _has_image(connect: Connect, name: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        connect().images.get(name)
    except ImageNotFound:
        return False
    return True
