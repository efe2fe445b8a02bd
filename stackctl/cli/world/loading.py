"""The adapters for loading bundles, rolling back and removing what no release needs."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime

from stackctl import __version__
from stackctl.adapters.bundle import parts_reader
from stackctl.adapters.bundle.engine_files import load_driver_version
from stackctl.adapters.bundle.offline_folder import OfflineFolder
from stackctl.adapters.bundle.part_copy import copy_members
from stackctl.adapters.docker.image_loader import ImageLoader
from stackctl.adapters.files.streams import prefetch
from stackctl.cli.world.reading import build_reader
from stackctl.core.bundle.format.installed_paths import OFFLINE_FOLDER
from stackctl.core.bundle.load.checks import Machine
from stackctl.operations.bundle.check.verify_installed import CheckImages, skip_images
from stackctl.operations.bundle.load.effects import LoadEffects
from stackctl.operations.bundle.load.images import build_facts
from stackctl.operations.effects import Effects


def build_load_effects(effects: Effects) -> LoadEffects:
    """The adapters for loading and for rollback."""
    folder = OfflineFolder(effects.paths.site / OFFLINE_FOLDER)
    docker = effects.machine.load_host(True).docker
    machine = Machine(
        os=platform.system().lower(),
        architecture=platform.machine(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        stackctl=__version__,
        docker=docker.server_version if docker else "",
        glibc=platform.libc_ver()[1],
        driver=load_driver_version(),
    )
    return LoadEffects(
        folder=folder,
        machine=machine,
        reader=build_reader(effects),
        copy_members=copy_members,
        read_blob=lambda path, member: prefetch(parts_reader.read_blob(path, member)),
        connect_engine=lambda: ImageLoader(folder.find_disk),
        read_now=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def find_image_check(effects: Effects) -> CheckImages:
    """A check of a manifest's images against the Docker engine's, where a Docker engine answers."""
    load = build_load_effects(effects)
    if not load.machine.docker:
        return skip_images
    engine = load.connect_engine()
    return lambda manifest: [
        finding for image in manifest.images for finding in engine.check(build_facts(manifest, image), image.alias)
    ]
