"""``offline-prune``: remove releases that nothing needs any more, with the models and images that only they used.

The current release, the one that a rollback goes to and the one that the running stack was started from always stay.
Interrupted at any point, the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.bundle.manifest import Manifest
from stackctl.core.bundle.places import RELEASES, model_folder
from stackctl.core.bundle.release import release_folder, title_release
from stackctl.errors import BundleError, Finding
from stackctl.operations.offline.installed import Installed, hold_offline_lock, load_installed, load_record
from stackctl.operations.state import load_state

if TYPE_CHECKING:
    from stackctl.operations.effects import Effects
    from stackctl.operations.offline.load_effects import LoadEffects


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is removed, and what stays.

    Attributes:
        removed, kept: releases, the newest first.
        models: paths of folders under ``offline/``.
        images: names in the engine.
        freed_bytes: of releases and models; what the engine frees is its own affair.
    """

    removed: tuple[Manifest, ...]
    kept: tuple[Manifest, ...]
    models: tuple[str, ...]
    images: tuple[str, ...]
    freed_bytes: int


def plan_prune(effects: Effects, load: LoadEffects, count: int) -> Pruning:
    """Say what ``run_prune`` would remove; changes nothing.

    Args:
        count: releases that stay, at least, as far as there are so many.

    Raises:
        BundleError: a release cannot be read, so nobody knows what it needs.
    """
    folder, installed = load.folder, load_installed(load.folder)
    _check_readable(load, installed)
    releases = sorted(installed.releases.values(), key=lambda item: (item.version, item.id), reverse=True)
    needed = _list_needed(effects, installed)
    others = [item for item in releases if item.short_id not in needed]
    kept_ids = needed | {item.short_id for item in others[: max(0, count - len(needed))]}
    kept = tuple(item for item in releases if item.short_id in kept_ids)
    removed = tuple(item for item in releases if item.short_id not in kept_ids)
    models = _list_unused_models(load, kept, removed)
    places = (*(release_folder(item.short_id) for item in removed), *models)
    freed = sum(folder.measure(place) for place in places)
    return Pruning(removed, kept, models, _list_unused_images(load, kept, removed), freed)


def run_prune(effects: Effects, load: LoadEffects, count: int) -> Pruning:
    """Remove; in the result are only images whose names are gone: one that a container uses stays.

    Raises:
        BundleError: a release cannot be read, or the folder cannot be written.
    """
    with hold_offline_lock(effects, load.folder):
        plan = plan_prune(effects, load, count)
        # Images first: only a release's manifest knows their names.
        engine = load.connect_engine() if plan.images else None
        images = tuple(alias for alias in plan.images if engine and engine.remove(alias))
        for place in (*(release_folder(item.short_id) for item in plan.removed), *plan.models):
            effects.report(f"removing {place}")
            load.folder.remove(place)
    return Pruning(plan.removed, plan.kept, plan.models, images, plan.freed_bytes)


def _check_readable(load: LoadEffects, installed: Installed) -> None:
    hint = "load its bundle again, or remove that folder"
    findings = [
        Finding(str(load.folder.root / RELEASES / name), "has no manifest that can be read", hint)
        for name in load.folder.list_releases()
        if name not in installed.releases
    ]
    if findings:
        raise BundleError("Nothing was removed: what a damaged release needs is not known.", hint, findings)


def _list_needed(effects: Effects, installed: Installed) -> set[str]:
    """Short ids of the releases that stay whatever is asked for."""
    state = load_state(effects)
    running = {name for name, item in installed.releases.items() if state and title_release(item) == state.release}
    return (running | {installed.current, installed.previous}) & installed.releases.keys()


def _list_unused_models(load: LoadEffects, kept: Sequence[Manifest], removed: Sequence[Manifest]) -> tuple[str, ...]:
    """Models that no release that stays uses; those of nobody may belong to a load that was interrupted."""
    used = {str(model_folder(model.digest)) for manifest in kept for model in manifest.models}
    known = {str(model_folder(model.digest)) for manifest in removed for model in manifest.models}
    is_loading = bool(load.folder.list_staging())
    return tuple(path for path in load.folder.list_models() if path not in used and (path in known or not is_loading))


def _list_unused_images(load: LoadEffects, kept: Sequence[Manifest], removed: Sequence[Manifest]) -> tuple[str, ...]:
    if not load.machine.docker:
        return ()
    given = []
    for manifest in removed:
        record = load_record(load.folder, manifest.short_id)
        if record is None or "compose" in record.runtimes:
            given += [image.alias for image in manifest.images]
    used = {image.alias for manifest in kept for image in manifest.images}
    return tuple(sorted(set(given) - used))
