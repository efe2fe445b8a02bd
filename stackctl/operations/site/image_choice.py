"""Which images this site runs: its release's, or those that it pulls or builds, by the digests that it pinned.

In: settings, the pins, the release. Out: ``Images``, and warnings. Reads through its effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.apps.catalog import list_image_settings, list_own_services
from stackctl.core.engine.engines import ENGINE_FOLDER, Engine
from stackctl.core.engine.vllm import VLLM
from stackctl.core.images.pins import LOCK_FILE, check_pins, parse_pins, pin_images
from stackctl.core.settings.sources import Origin, ResolvedSettings
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.stack.image_choice import Images, choose_images, choose_release_images
from stackctl.core.stack.names import GATEWAY
from stackctl.errors import Finding
from stackctl.operations.effects import Effects

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


def load_pins(effects: Effects) -> dict[str, str]:
    """The site's pinned digest of each image, by the image's name; empty where it has no ``images.lock``.

    Raises:
        ConfigError: the lock cannot be read.
    """
    path = effects.paths.site / LOCK_FILE
    return parse_pins(effects.files.load_text(path) or "", str(path))


def load_images(
    effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, engine: Engine, release: Release | None
) -> tuple[Images, tuple[Finding, ...]]:
    """The images to run, and warnings.

    A release's digests are its manifest's: an image that ``docker load`` brings has none that a name could hold.
    """
    if release:
        own = [_find_own(resolved, name) for name in ("GATEWAY_IMAGE", "INFERENCE_IMAGE", "VLLM_IMAGE")]
        settings = list_image_settings(resolved.values)
        apps = {service: _find_own(resolved, name) for service, name in settings.items()}
        return choose_release_images(release.images, own[0], own[1], own[2], apps), ()
    images, pins = choose_tagged_images(effects, resolved, stackfile, engine), load_pins(effects)
    return pin_images(images, pins), check_pins(images, pins)


def _find_own(resolved: ResolvedSettings, name: str) -> str:
    """The image that this site itself names by a setting; empty where it names none."""
    is_own = resolved.origins[name] in (Origin.FLAG, Origin.ENVIRONMENT, Origin.DOTENV)
    return str(getattr(resolved.values, name.lower())) if is_own else ""


def choose_tagged_images(effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, engine: Engine) -> Images:
    """The images as settings and defaults name them, whatever is pinned."""
    services = effects.paths.data_root / "services"
    return choose_images(
        resolved.values,
        engine,
        effects.files.hash_folder(services / GATEWAY),
        effects.files.hash_folder(effects.paths.data_root / ENGINE_FOLDER),
        with_vllm=any(model.engine == VLLM.name for model in stackfile.models.values()),
        app_tags={name: effects.files.hash_folder(services / name) for name in list_own_services(resolved.values)},
    )
