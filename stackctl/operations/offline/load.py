"""``offline-load``: check a bundle, stage it, give the engine its images, then switch the site to it in one step.

Nothing that runs is touched, whatever happens: ``stackctl up`` starts what is current.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stackctl.core.bundle.load_checks import check_space
from stackctl.core.bundle.load_plan import LoadPlan, list_file_ranges, list_image_blobs, plan_load
from stackctl.core.bundle.load_record import LoadRecord
from stackctl.core.bundle.manifest_reader import find_members
from stackctl.core.bundle.places import STAGING
from stackctl.core.bundle.release import release_folder, title_release
from stackctl.core.progress import Transfer, write_size
from stackctl.errors import BundleError, Finding, StackError
from stackctl.operations.offline.arrival import Job, choose_arrivals, open_arrivals, prepare_job
from stackctl.operations.offline.installed import (
    check_content,
    check_sizes,
    hold_offline_lock,
    is_right,
    load_installed,
    load_record,
)
from stackctl.operations.offline.load_images import (
    NO_IMAGES,
    ImagesToLoad,
    check_available,
    check_blobs,
    find_images_to_load,
    send_images,
)
from stackctl.operations.offline.load_result import LoadResult, build_result, describe_images, leave_out
from stackctl.operations.offline.release import install_release
from stackctl.operations.offline.staging import (
    check_kept_models,
    find_kept_models,
    find_staged_blobs,
    list_missing_parts,
    write_carried,
    write_inherited,
)

if TYPE_CHECKING:
    from stackctl.operations.effects import Effects
    from stackctl.operations.offline.load_effects import LoadEffects, LoadRequest, Staging


@dataclass(frozen=True, slots=True)
class _Work:
    """What has to be done for one bundle.

    Attributes:
        kept: digests of its models that the store has.
        missing: names of parts that are needed and not reachable.
        written_bytes: what the plan writes that is not there yet.
    """

    kept: frozenset[str]
    images: ImagesToLoad
    plan: LoadPlan
    missing: tuple[str, ...]
    written_bytes: int


def run_load(effects: Effects, load: LoadEffects, request: LoadRequest) -> tuple[LoadResult, ...]:
    """Load bundles, the oldest first, so that a delta finds its base.

    Raises:
        BundleError: one of them cannot be loaded; those before it were, and the site runs on as before.
        RuntimeFailure: the engine broke off while it was given images.
    """
    arrivals = open_arrivals(load, request)
    results: list[LoadResult] = []
    with hold_offline_lock(effects, load.folder):
        chosen = choose_arrivals(arrivals, load_installed(load.folder))
        for item in arrivals:
            if item.manifest.id not in chosen:
                results.append(leave_out(item))
                continue
            try:
                results.append(_load_one(prepare_job(effects, load, request, item, load_installed(load.folder))))
            except StackError as error:
                loaded = [result.manifest for result in results if result.status == "loaded"]
                if not loaded:
                    raise
                message = f"{error.message}\nLoaded before it, and current now: {title_release(loaded[-1])}."
                raise type(error)(message, error.hint, error.findings) from error
    return tuple(results)


def preview_load(effects: Effects, load: LoadEffects, request: LoadRequest) -> tuple[LoadResult, ...]:
    """Say what ``run_load`` would do; changes nothing.

    Raises:
        BundleError: as ``run_load``, as far as it can be known without reading the parts.
    """
    arrivals, installed = open_arrivals(load, request), load_installed(load.folder)
    chosen = choose_arrivals(arrivals, installed)
    results = []
    for item in arrivals:
        if item.manifest.id not in chosen:
            results.append(leave_out(item))
            continue
        results.append(_preview_one(prepare_job(effects, load, request, item, installed)))
        # The next one may build on it.
        releases = {**installed.releases, item.manifest.short_id: item.manifest}
        installed = replace(installed, releases=releases, current=item.manifest.short_id)
    return tuple(results)


def _load_one(job: Job) -> LoadResult:
    folder, short_id = job.load.folder, job.manifest.short_id
    if _is_complete(job):
        folder.remove(f"{STAGING}/{short_id}")
        return build_result(job, "already current", ("everything of it is here and right: nothing changed",))
    staging = folder.open_staging(short_id)
    try:
        work = _plan_work(job, staging)
        _stage(job, staging, work)
        _send_images(job, staging, work.images)
        models = [model for model in job.manifest.models if model.digest not in work.kept]
        install_release(job.effects, folder, staging, job.arrival, models, _build_record(job))
    finally:
        staging.close()
    aliases = tuple(image.alias for image in work.images.images)
    return build_result(job, "loaded", _describe(job, work), work.written_bytes, aliases)


def _is_complete(job: Job) -> bool:
    """Whether this bundle is current with all that this machine can use of it, every byte right."""
    manifest, folder = job.manifest, job.load.folder
    if job.installed.current != manifest.short_id or any(check_sizes(folder, manifest)):
        return False
    record = load_record(folder, manifest.short_id)
    if record is None or not set(job.runtimes) <= set(record.runtimes):
        return False
    if job.arrival.verdict.signer not in ("", record.key):
        return False  # it was loaded when nobody vouched for it
    if job.engine and find_images_to_load(job.engine, manifest) != NO_IMAGES:
        return False
    job.effects.report("this bundle is current: checking that everything of it is right")
    return not any(check_content(folder, manifest))


def _plan_work(job: Job, staging: Staging) -> _Work:
    """Compare the bundle with what is here."""
    manifest = job.manifest
    kept = _check_models(job, staging)
    ranges = list_file_ranges(manifest, release_folder(manifest.short_id))
    keeps_files = manifest.short_id in job.installed.releases and all(
        is_right(job.load.folder, item) for item in ranges
    )
    images = find_images_to_load(job.engine, manifest, job.base) if job.engine else NO_IMAGES
    _raise(check_available(manifest, images), "The delta does not fit what this machine has.")
    staged = find_staged_blobs(staging, images.blobs)
    plan = plan_load(manifest, kept, staged, keeps_files=keeps_files)
    members = find_members(manifest)
    needed = [member for member, content in plan.carried if not staging.is_done(content)]
    missing = list_missing_parts(
        job.arrival, [*needed, *(members[name] for name in images.blobs if name not in staged)]
    )
    if missing:
        # This disk may be gone when the engine is given the images: what it has of them is kept until then.
        here = {name for name in images.blobs if job.arrival.find_part(members[name]) is not None}
        plan = plan_load(manifest, kept, staged | here, keeps_files=keeps_files)
    written_bytes = sum(
        (content.size - staging.find_start(content)) * len(content.places)
        for content in plan.wanted
        if not staging.is_done(content)
    )
    return _Work(kept, images, plan, missing, written_bytes)


def _check_models(job: Job, staging: Staging) -> frozenset[str]:
    """Rehash the bundle's models that the store has."""
    manifest, folder = job.manifest, job.load.folder
    total = sum(file.size for model in find_kept_models(folder, manifest) for file in model.files)
    progress = Transfer("checking models that are here", total, job.effects.report, job.effects.clock)
    kept, findings = check_kept_models(folder, staging, manifest, progress)
    _raise(findings, "A model that this delta builds on is damaged.")
    return kept


def _stage(job: Job, staging: Staging, work: _Work) -> None:
    """Write everything that is reachable.

    Raises:
        BundleError: there is no space, content is bad, or parts are missing; the next run goes on from there.
    """
    _check_space(job, work)
    staging.prepare(work.plan.outputs, work.plan.wanted)
    total = sum(item.written_bytes for item in work.plan.wanted)
    progress = Transfer("loading", total, job.effects.report, job.effects.clock)
    findings = write_carried(job.load, staging, job.arrival, work.plan, progress)
    if job.base is not None:
        findings += write_inherited(job.load, staging, work.plan, job.base, progress)
    staging.flush()
    if findings:
        findings += check_blobs(job.load, job.arrival, work.images)
    _raise(findings, f"{job.arrival.opened.folder} is damaged; nothing was switched.")
    if work.missing:
        raise _explain_missing(job, work.missing)


def _check_space(job: Job, work: _Work) -> None:
    """Refuse before anything is written."""
    disks = [job.load.folder.find_disk("models and files", work.written_bytes)]
    if job.engine and work.images.images:
        is_whole = len(work.images.images) == len(job.manifest.images)
        least = job.manifest.requires.engine_bytes if is_whole else 0
        engine = job.engine.find_disk(max(least, sum(work.images.blobs.values())))
        disks += [engine] if engine else []
    _raise(list(check_space(disks)), "There is not enough space.")


def _explain_missing(job: Job, missing: Sequence[str]) -> BundleError:
    parts = job.manifest.parts
    findings = [Finding(name, "is not in any folder that was given") for name in missing]
    return BundleError(
        f"{len(missing)} of the {len(parts)} parts of {job.manifest.folder} are not here yet; nothing was switched.",
        "connect the disk with the next part and run the command again, with --from FOLDER for where it lies",
        findings,
    )


def _send_images(job: Job, staging: Staging, images: ImagesToLoad) -> None:
    if job.engine is None or images == NO_IMAGES:
        return
    total = sum(images.blobs.values())
    progress = Transfer("giving the engine its images", total, job.effects.report, job.effects.clock)
    try:
        send_images(job.load, job.engine, staging, job.arrival, images, progress, job.effects.report)
    except BundleError as error:
        findings = error.findings or check_blobs(job.load, job.arrival, images)
        raise BundleError(error.message, error.hint, findings) from error


def _build_record(job: Job) -> LoadRecord:
    manifest, verdict = job.manifest, job.arrival.verdict
    return LoadRecord(
        id=manifest.id,
        name=manifest.name,
        version=manifest.version,
        signature="verified" if verdict.is_signed else "unsigned",
        key=verdict.signer,
        comment=verdict.comment,
        loaded_at=job.load.read_now(),
        runtimes=job.runtimes,
        stackctl=job.load.machine.stackctl,
    )


def _describe(job: Job, work: _Work) -> tuple[str, ...]:
    written = write_size(work.written_bytes)
    models = f"models: {len(job.manifest.models)}, {len(work.kept)} of them here already; {written} written"
    return tuple(filter(None, (models, describe_images(job, len(work.images.images)))))


def _preview_one(job: Job) -> LoadResult:
    manifest, folder = job.manifest, job.load.folder
    if job.installed.current == manifest.short_id and not any(check_sizes(folder, manifest)):
        return build_result(job, "already current", ("everything of it is here, judged by sizes",))
    kept = frozenset(model.digest for model in find_kept_models(folder, manifest))
    plan = plan_load(manifest, kept)
    written = sum(content.written_bytes for content in plan.wanted)
    work = _Work(kept, NO_IMAGES, plan, (), written)
    _check_space(job, work)
    blobs = list_image_blobs(manifest.images) if job.engine else {}
    needed = {member.sha256 for member, _ in plan.carried} | blobs.keys()
    missing = list_missing_parts(job.arrival, [member for member in manifest.blobs if member.sha256 in needed])
    done = [f"{write_size(written)} to write; {len(kept)} of {len(manifest.models)} models are here already"]
    done += [f"{len(manifest.images)} images to compare with the engine's"] if job.engine else []
    done += [f"{name} is not in any folder that was given" for name in missing]
    return build_result(job, "would be loaded", tuple(done), written)


def _raise(findings: Sequence[Finding], message: str) -> None:
    if findings:
        raise BundleError(message, findings[0].hint, tuple(findings))
