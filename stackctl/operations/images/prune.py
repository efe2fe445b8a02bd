"""``images prune``: remove the images that were built on this machine and that nothing needs any more.

In: the images of the Docker engine, and this user's sites. Out: a ``PruneItem`` for each image. Does I/O through its
effects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stackctl.core.images.prune import EngineImage, PruneItem, plan_removals
from stackctl.core.stack.image_choice import OWN_IMAGES
from stackctl.core.stack.names import COMPOSE_FILE, GPU_OVERLAYS
from stackctl.operations.effects import Effects
from stackctl.operations.engine.engines import choose_compose_engine
from stackctl.operations.site.image_choice import load_images
from stackctl.operations.site.load_settings import load_release, load_settings

_OWN_IMAGE = re.compile(rf"{re.escape(OWN_IMAGES)}/[\w./-]+:[\w.-]+", re.ASCII)


class ImageStore(Protocol):
    """The Docker engine's images. The adapter says what each method does."""

    def list_images(self) -> tuple[EngineImage, ...]: ...
    def remove(self, name: str) -> bool: ...


def plan_prune(effects: Effects, store: ImageStore, sites: Sequence[Path]) -> tuple[PruneItem, ...]:
    """Say which images would go and which stay.

    Args:
        sites: folders of this user's other sites; the images that one was last started from stay, whether it runs or
            not.

    Raises:
        ConfigError: this site's settings cannot be read, so the images that it names are not known.
        RuntimeFailure: no Docker engine answers.
    """
    resolved, stackfile = load_settings(effects)
    images, _ = load_images(effects, resolved, stackfile, choose_compose_engine(resolved.values), load_release(effects))
    named = {images.gateway, *images.inference.values()}
    for site in sites:
        for name in (COMPOSE_FILE, *GPU_OVERLAYS.values()):
            text = (
                effects.files.load_text(site / effects.paths.rendered_dir.relative_to(effects.paths.site) / name) or ""
            )
            named.update(_OWN_IMAGE.findall(text))
    return plan_removals(store.list_images(), named)


def run_prune(store: ImageStore, items: Sequence[PruneItem]) -> tuple[PruneItem, ...]:
    """Remove what is to go; the items that were removed: a container may use an image since it was planned."""
    return tuple(item for item in items if not item.kept and store.remove(item.image))
