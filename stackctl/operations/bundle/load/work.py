"""What is still to be done for one bundle: its content compared with what is here, and with what was staged before.

In: a ``Job`` and its staging. Out: a ``Work`` value, or an error. Reads through the job's effects. Everything that is
here already is hashed again: what becomes current was right in the run that makes it current.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.core.bundle.load.checks import check_space
from stackctl.core.bundle.load.plan import InstalledRange, Kept, LoadPlan, list_file_ranges, plan_load
from stackctl.core.bundle.load.release import release_folder
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.load.acceptance import FROM_HINT, Job
from stackctl.operations.bundle.load.images import (
    NO_IMAGES,
    ImagesToLoad,
    check_available,
    find_images_to_load,
)
from stackctl.operations.bundle.load.installed import find_links, is_right
from stackctl.operations.bundle.load.staging import (
    check_kept_models,
    find_kept_models,
    find_staged_blobs,
    list_missing_parts,
)

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.effects import Staging


@dataclass(frozen=True, slots=True)
class Work:
    """What has to be done for one bundle.

    Attributes:
        kept: digests of the bundle's models that the store has.
        missing: names of parts that are needed and not reachable.
        spoilt: names of missing parts that were here before, and of which something staged is not right any more.
        written_bytes: bytes of the plan that are not there yet.
        links: files of the release that another installed release has, by path.
    """

    kept: frozenset[str]
    images: ImagesToLoad
    plan: LoadPlan
    missing: tuple[str, ...] = ()
    spoilt: frozenset[str] = frozenset()
    written_bytes: int = 0
    links: Mapping[str, InstalledRange] = field(default_factory=dict)


def plan_work(job: Job, staging: Staging) -> Work:
    """Compare the bundle with what is here.

    Raises:
        BundleError: a model or an image that a delta builds on is damaged or gone.
    """
    manifest = job.manifest
    models = _check_models(job)
    has_files = manifest.short_id in job.installed.releases and _has_files(job)
    links = {} if has_files else _find_right_links(job)
    kept = Kept(models, {file.path for file in manifest.files} if has_files else links.keys())
    images = find_images_to_load(job.engine, manifest, job.base) if job.engine else NO_IMAGES
    raise_findings(check_available(manifest, images), "The delta does not fit what this machine has.")
    staged = find_staged_blobs(staging, images.blobs)
    plan = plan_load(manifest, kept, staged)
    staging.drop_lost(plan.outputs, plan.wanted)
    missing, spoilt = _list_missing(job, staging, plan, images), frozenset[str]()
    if not missing:
        _check_staged(job, staging, plan)
        missing = _list_missing(job, staging, plan, images)
        spoilt = frozenset(missing)
    if missing:
        # This disk may be gone when Docker is given the images: what the disk has of them is kept until then.
        plan = plan_load(manifest, kept, staged | _find_reachable_blobs(job, images))
    return Work(models, images, plan, missing, spoilt, _count_unwritten(staging, plan), links)


def _find_right_links(job: Job) -> dict[str, InstalledRange]:
    """Files of the release that another installed one has, by path, with the bytes that were loaded."""
    links = find_links(job.load.folder, job.manifest, job.installed)
    return {path: item for path, item in links.items() if is_right(job.load.folder, item, lambda size: None)}


def _find_reachable_blobs(job: Job, images: ImagesToLoad) -> frozenset[str]:
    """Digests of the image blobs whose parts are here."""
    members = find_members(job.manifest)
    return frozenset(name for name in images.blobs if job.accepted.find_part(members[name]) is not None)


def _count_unwritten(staging: Staging, plan: LoadPlan) -> int:
    """Bytes of the plan that are still to be written."""
    undone = [content for content in plan.wanted if not staging.is_done(content)]
    return sum((content.size - staging.find_start(content)) * len(content.places) for content in undone)


def preview_work(job: Job) -> Work:
    """What has to be done, judged by sizes and with nothing staged."""
    manifest, folder = job.manifest, job.load.folder
    models = frozenset(model.digest for model in find_kept_models(folder, manifest))
    links = find_links(folder, manifest, job.installed)
    plan = plan_load(manifest, Kept(models, links))
    written_bytes = sum(content.written_bytes for content in plan.wanted)
    return Work(models, NO_IMAGES, plan, written_bytes=written_bytes, links=links)


def check_work_space(job: Job, work: Work) -> None:
    """Refuse, before anything is written, where space is short.

    Raises:
        BundleError: a disk has too little space.
    """
    disks = [job.load.folder.find_disk("models and files", work.written_bytes)]
    if job.engine and work.images.images:
        is_whole = len(work.images.images) == len(job.manifest.images)
        least = job.manifest.requires.engine_bytes if is_whole else 0
        engine = job.engine.find_disk(max(least, sum(work.images.blobs.values())))
        disks += [engine] if engine else []
    raise_findings(list(check_space(disks)), "There is not enough space.")


def explain_missing(job: Job, work: Work) -> BundleError:
    """The error that names the parts still to come, a line each."""
    parts = {part.name: part.size for part in job.manifest.parts}
    spoilt = "is needed again: what was staged of it is not right any more"
    findings = [
        Finding(name, spoilt if name in work.spoilt else f"is not here yet ({parts[name]} bytes)", FROM_HINT)
        for name in work.missing
    ]
    count, where = len(work.missing), job.manifest.folder
    message = f"{count} of the {len(parts)} parts of {where} are not here yet; nothing was switched."
    if work.spoilt:
        message = f"{count} of the {len(parts)} parts of {where} are needed again; nothing was switched."
    return BundleError(message, FROM_HINT, findings)


def raise_findings(findings: Sequence[Finding], message: str) -> None:
    """Raise where there are findings.

    Raises:
        BundleError: there are findings; it has all of them.
    """
    if findings:
        raise BundleError(message, findings[0].hint, tuple(findings))


def _check_models(job: Job) -> frozenset[str]:
    """Hash again the bundle's models that the store has; digests of those that are right."""
    manifest, folder = job.manifest, job.load.folder
    total = sum(file.size for model in find_kept_models(folder, manifest) for file in model.files)
    progress = Transfer(
        "checking models that are here", total, job.effects.terminal.report, job.effects.clock.monotonic
    )
    kept, findings = check_kept_models(folder, manifest, progress)
    raise_findings(findings, f"A model that this delta builds on is damaged in {folder.root}; nothing was switched.")
    return kept


def _has_files(job: Job) -> bool:
    ranges = list_file_ranges(job.manifest, release_folder(job.manifest.short_id))
    return all(is_right(job.load.folder, item, lambda size: None) for item in ranges)


def _list_missing(job: Job, staging: Staging, plan: LoadPlan, images: ImagesToLoad) -> tuple[str, ...]:
    """Names of parts that something is needed of and that are not reachable."""
    members = find_members(job.manifest)
    placed = {content.sha256 for _, content in plan.carried}
    needed = [member for member, content in plan.carried if not staging.is_done(content)]
    needed += [members[name] for name in images.blobs if name not in placed]
    return list_missing_parts(job.accepted, needed)


def _check_staged(job: Job, staging: Staging, plan: LoadPlan) -> None:
    """Hash what earlier runs staged, which may be days old; what is wrong is forgotten, so it is written again."""
    done = [content for content in plan.wanted if staging.is_done(content)]
    total = sum(content.written_bytes for content in done)
    progress = Transfer(
        "checking what was staged before", total, job.effects.terminal.report, job.effects.clock.monotonic
    )
    for content in staging.find_wrong(done, progress.add):
        place = content.places[0]
        job.effects.terminal.report(f"{place.path} is not right any more at byte {place.offset}: it is written again")
