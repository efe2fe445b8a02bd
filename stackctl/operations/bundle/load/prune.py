"""``offline-prune``: remove releases that nothing needs any more, with the models and images that only they used.

In: how many releases stay. Out: a ``Pruning`` value that says what goes. Does I/O through its effects. The current
release, the one that a rollback goes to and the one that the running stack was started from always stay. So do loads
that were interrupted and may go on; those that nobody can want any more go. Interrupted at any point, the same command
goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import RELEASES, STAGING, model_folder
from stackctl.core.bundle.format.manifest import MANIFEST_NAME, Manifest
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from stackctl.core.bundle.load.plan import RELEASE
from stackctl.core.bundle.load.release import release_folder, title_release
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.load.installed import Installed, hold_offline_lock, load_installed, load_record
from stackctl.operations.site.state import load_state

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.effects import LoadEffects
    from stackctl.operations.effects import Effects


@dataclass(frozen=True, slots=True)
class Begun:
    """A load that was interrupted, and whose staging folder is still there.

    Attributes:
        manifest: manifest of the bundle that was being loaded; ``None`` where it is not known any more.
        size_bytes: bytes that the load takes on the disk.
    """

    short_id: str
    manifest: Manifest | None
    size_bytes: int

    @property
    def title(self) -> str:
        """The bundle's name for people."""
        return title_release(self.manifest) if self.manifest else self.short_id


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is removed from a site, and what stays.

    Attributes:
        removed, kept: releases that go and that stay, the newest first.
        abandoned, begun: interrupted loads that go, and that stay because they may go on.
        models: paths of folders to remove, under ``offline/``.
        images: names to take away in the Docker engine.
        freed_bytes: bytes of releases and models that go; what the Docker engine frees is not counted.
    """

    removed: tuple[Manifest, ...]
    kept: tuple[Manifest, ...]
    models: tuple[str, ...]
    images: tuple[str, ...]
    freed_bytes: int
    abandoned: tuple[Begun, ...] = ()
    begun: tuple[Begun, ...] = ()


def plan_prune(effects: Effects, load: LoadEffects, count: int, *, interrupted: bool = False) -> Pruning:
    """Say what ``run_prune`` would remove; changes nothing.

    Args:
        count: least number of releases that stay, as far as there are so many.
        interrupted: whether to remove every load that was interrupted, and not only those that nobody can want any
            more.

    Raises:
        BundleError: a release cannot be read, so what it needs is not known.
    """
    folder, installed = load.folder, load_installed(load.folder)
    _check_readable(load, installed)
    releases = sorted(installed.releases.values(), key=lambda item: (item.version, item.id), reverse=True)
    needed = _list_needed(effects, installed)
    others = [item for item in releases if item.short_id not in needed]
    kept_ids = needed | {item.short_id for item in others[: max(0, count - len(needed))]}
    kept = tuple(item for item in releases if item.short_id in kept_ids)
    removed = tuple(item for item in releases if item.short_id not in kept_ids)
    loads = _list_begun(load)
    abandoned = tuple(item for item in loads if interrupted or _is_outdated(item, installed))
    begun = tuple(item for item in loads if item not in abandoned)
    models = _list_unused_models(load, kept, removed, begun)
    images = _list_unused_images(load, kept, removed)
    freed = folder.measure(*_list_places(removed, models, abandoned))
    return Pruning(removed, kept, models, images, freed, abandoned, begun)


def run_prune(effects: Effects, load: LoadEffects, count: int, *, interrupted: bool = False) -> Pruning:
    """Remove; the result names only images whose names are gone: one that a container uses stays.

    Raises:
        BundleError: a release cannot be read, or the folder cannot be written.
    """
    with hold_offline_lock(effects.files, load.folder):
        plan = plan_prune(effects, load, count, interrupted=interrupted)
        # Images first: only a release's manifest knows their names.
        engine = load.connect_engine() if plan.images else None
        images = tuple(alias for alias in plan.images if engine and engine.remove(alias))
        for place in _list_places(plan.removed, plan.models, plan.abandoned):
            effects.terminal.report(f"removing {place}")
            load.folder.remove(place)
    return replace(plan, images=images)


def _list_places(removed: Sequence[Manifest], models: Sequence[str], abandoned: Sequence[Begun]) -> tuple[str, ...]:
    """Folders to remove, as paths under ``offline/``."""
    releases = (release_folder(item.short_id) for item in removed)
    return (*releases, *models, *(f"{STAGING}/{item.short_id}" for item in abandoned))


def _list_begun(load: LoadEffects) -> tuple[Begun, ...]:
    """Loads that were interrupted; none is under way, because the caller holds the lock."""
    found = []
    for short_id, size in load.folder.list_staging().items():
        data = load.folder.load_bytes(f"{STAGING}/{short_id}/{RELEASE}/{MANIFEST_NAME}")
        try:
            manifest = parse_manifest(data or b"")
        except BundleError:
            manifest = None
        found.append(Begun(short_id, manifest if manifest and manifest.short_id == short_id else None, size))
    return tuple(found)


def _is_outdated(item: Begun, installed: Installed) -> bool:
    """Whether the bundle of an interrupted load is installed, or is no newer than what is current."""
    manifest, current = item.manifest, installed.running
    if manifest is None:
        return False
    return manifest.short_id in installed.releases or (current is not None and manifest.version <= current.version)


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
    """Short ids of the releases that always stay."""
    state = load_state(effects.files, effects.paths)
    running = {name for name, item in installed.releases.items() if state and title_release(item) == state.release}
    return (running | {installed.current, installed.previous}) & installed.releases.keys()


def _list_unused_models(
    load: LoadEffects, kept: Sequence[Manifest], removed: Sequence[Manifest], begun: Sequence[Begun]
) -> tuple[str, ...]:
    """Models that no release that stays uses, and that no load that may go on has brought."""
    staying = [*kept, *(item.manifest for item in begun if item.manifest)]
    used = {str(model_folder(model.digest)) for manifest in staying for model in manifest.models}
    known = {str(model_folder(model.digest)) for manifest in removed for model in manifest.models}
    is_unknown = any(item.manifest is None for item in begun)
    return tuple(path for path in load.folder.list_models() if path not in used and (path in known or not is_unknown))


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
