"""``offline-rollback``: make an earlier release current again, after checking that all of it is still here.

In: the beginning of a release's id, or nothing. Out: a ``RollbackResult``. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import CURRENT, PREVIOUS
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.load.images import NO_IMAGES, ImagesToLoad, find_images_to_load, name_images
from stackctl.operations.bundle.load.installed import (
    Installed,
    check_content,
    check_sizes,
    hold_offline_lock,
    load_installed,
    load_record,
)
from stackctl.operations.site.current_release import check_own_stack

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.effects import ImageEngine, LoadEffects
    from stackctl.operations.effects import Effects

_LOAD_HINT = "load its bundle again with 'stackctl offline-load --allow-downgrade'"


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """The release that is current now.

    Attributes:
        before: manifest of the release that was current; ``None`` when it is not there any more.
        is_changed: whether anything had to be switched.
    """

    manifest: Manifest
    before: Manifest | None
    is_changed: bool


def run_rollback(effects: Effects, load: LoadEffects, prefix: str) -> RollbackResult:
    """Switch to the release before, or to the one whose id begins with ``prefix``; every byte of it is hashed first.

    Raises:
        BundleError: there is no such release, or something of it is missing or not right; nothing was changed.
    """
    folder = load.folder
    with hold_offline_lock(effects.files, folder):
        installed = load_installed(folder)
        target = _find_target(installed, prefix)
        result = RollbackResult(target, installed.running, target.short_id != installed.current)
        findings = list(_check_files(effects, load, target))
        engine, images = _find_images(load, target, findings)
        if findings:
            raise BundleError(f"Release {_name(target)} cannot be made current.", findings[0].hint, findings)
        if engine:
            name_images(engine, target, images)
        if result.is_changed:
            # Interrupted between the two, what was wished for is current already.
            folder.switch(CURRENT, target.short_id)
            folder.switch(PREVIOUS, installed.current)
        return result


def _find_target(installed: Installed, prefix: str) -> Manifest:
    kept = ", ".join(sorted(_name(item) for item in installed.releases.values())) or "none"
    if not prefix:
        target = installed.releases.get(installed.previous)
        if target is None or installed.previous == installed.current:
            others = len(installed.releases) > 1
            hint = "name one of them by its id" if others else "load another bundle with 'stackctl offline-load'"
            raise BundleError(f"There is no release to go back to; kept are: {kept}.", hint)
        return target
    found = [item for item in installed.releases.values() if item.id.startswith(prefix)]
    if len(found) != 1:
        what = "No kept release's id begins" if not found else f"The ids of {len(found)} kept releases begin"
        raise BundleError(f"{what} with '{prefix}'; kept are: {kept}.", "name one of them by its id")
    return found[0]


def _check_files(effects: Effects, load: LoadEffects, manifest: Manifest) -> Iterator[Finding]:
    """Find files of a release and its models that are not here any more, or are not what its bundle brought."""
    yield from check_own_stack(effects, manifest)
    found = list(check_sizes(load.folder, manifest)) or check_content(effects, load.folder, manifest)
    for finding in found:
        yield Finding(finding.subject, finding.message, _LOAD_HINT)


def _find_images(
    load: LoadEffects, manifest: Manifest, findings: list[Finding]
) -> tuple[ImageEngine | None, ImagesToLoad]:
    """The Docker engine and what it lacks of a release; images that are gone are added to the findings."""
    record = load_record(load.folder, manifest.short_id)
    if record is None or "compose" not in record.runtimes:
        return None, NO_IMAGES  # its images were never given to a Docker engine
    if not load.machine.docker:
        if "process" not in record.runtimes:
            message = "no Docker engine answers, and the release runs in containers only"
            findings.append(Finding("docker", message, "start Docker"))
        return None, NO_IMAGES
    engine = load.connect_engine()
    images = find_images_to_load(engine, manifest)
    findings += [
        Finding(image.alias, f"the engine does not have {image.reference} any more", _LOAD_HINT)
        for image in images.images
    ]
    return engine, images


def _name(manifest: Manifest) -> str:
    return f"{manifest.version} ({manifest.short_id})"
