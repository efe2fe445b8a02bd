"""Which of the images that were built on this machine nothing needs any more. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from stackctl.core.stack.image_choice import OWN_IMAGES


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image as the Docker engine has it.

    Attributes:
        names: all tags of the image.
        unique_bytes: bytes of the layers that no other image has.
    """

    names: tuple[str, ...]
    unique_bytes: int
    has_container: bool


@dataclass(frozen=True, slots=True)
class PruneItem:
    """One name of an image that was built here.

    Attributes:
        frees_bytes: bytes that its removal gives back; of an image's names only the last that goes has any.
        kept: why the name stays; empty when it goes.
    """

    image: str
    frees_bytes: int
    kept: str


def plan_removals(images: Sequence[EngineImage], named: Collection[str]) -> tuple[PruneItem, ...]:
    """What becomes of each image that was built here; no other image is looked at.

    Args:
        named: names of images that configurations name.
    """
    items = []
    for image in images:
        reasons = {
            name: "a container uses it" if image.has_container else "a site names it" if name in named else ""
            for name in sorted(image.names)
            if name.startswith(f"{OWN_IMAGES}/")
        }
        goes = len(reasons) == len(image.names) and not any(reasons.values())
        for number, (name, kept) in enumerate(reasons.items(), 1):
            frees = image.unique_bytes if goes and number == len(reasons) else 0
            items.append(PruneItem(name, frees, kept))
    return tuple(sorted(items, key=lambda item: item.image))
