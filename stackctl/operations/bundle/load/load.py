"""``offline-load``: check a bundle, stage it, give Docker its images, then switch the site to it in one step.

In: a ``LoadRequest``. Out: a ``LoadResult`` for each bundle. Does I/O through its effects. Nothing that runs is
touched, whatever happens: ``stackctl up`` starts what is current.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import FILES, STAGING
from stackctl.core.bundle.load.plan import RELEASE, list_image_blobs
from stackctl.core.bundle.load.record import LoadRecord
from stackctl.core.bundle.load.release import title_release
from stackctl.core.text.progress import Transfer, write_size
from stackctl.errors import BundleError, Finding, StackError
from stackctl.operations.bundle.load.acceptance import Job, accept_bundles, choose_bundles, prepare_job
from stackctl.operations.bundle.load.images import (
    NO_IMAGES,
    BlobSource,
    ImagesToLoad,
    check_blobs,
    find_images_to_load,
    send_images,
)
from stackctl.operations.bundle.load.installed import (
    check_content,
    check_sizes,
    hold_offline_lock,
    load_installed,
    load_record,
)
from stackctl.operations.bundle.load.model_digests import follow_models
from stackctl.operations.bundle.load.result import LoadResult, build_result, describe_images, leave_out
from stackctl.operations.bundle.load.staging import list_missing_parts, write_carried, write_inherited
from stackctl.operations.bundle.load.switch import install_release, save_manifest
from stackctl.operations.bundle.load.work import (
    Work,
    check_work_space,
    explain_missing,
    plan_work,
    preview_work,
    raise_findings,
)

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.effects import LoadEffects, LoadRequest, Staging
    from stackctl.operations.effects import Effects


def run_load(effects: Effects, load: LoadEffects, request: LoadRequest) -> tuple[LoadResult, ...]:
    """Load bundles, the oldest first, so that a delta finds its base.

    Raises:
        BundleError: one of the bundles cannot be loaded; those before it were, and the site runs on as before.
        RuntimeFailure: the Docker engine broke off while it was given images.
    """
    accepted = accept_bundles(load, request)
    results: list[LoadResult] = []
    with hold_offline_lock(effects.files, load.folder):
        chosen = choose_bundles(accepted, load_installed(load.folder))
        for item in accepted:
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
        BundleError: ``run_load`` would raise it, as far as can be known without reading the parts.
    """
    accepted, installed = accept_bundles(load, request), load_installed(load.folder)
    chosen = choose_bundles(accepted, installed)
    results = []
    for item in accepted:
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
        save_manifest(staging, job.accepted)
        work = plan_work(job, staging)
        _stage(job, staging, work)
        _send_images(job, staging, work.images)
        models = [model for model in job.manifest.models if model.digest not in work.kept]
        install_release(job.effects, folder, staging, job.accepted, models, _build_record(job))
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
    if job.accepted.verdict.signer not in ("", record.key):
        return False  # it was loaded when nobody vouched for it
    if job.engine and find_images_to_load(job.engine, manifest) != NO_IMAGES:
        return False
    return not any(check_content(job.effects, folder, manifest))


def _stage(job: Job, staging: Staging, work: Work) -> None:
    """Write to staging everything that is reachable.

    Raises:
        BundleError: there is no space, content is bad, or parts are missing; the next run goes on from there.
    """
    check_work_space(job, work)
    staging.prepare(work.plan.outputs, work.plan.wanted)
    total = sum(item.written_bytes for item in work.plan.wanted)
    progress = Transfer("loading", total, job.effects.terminal.report, job.effects.clock.monotonic)
    models = [] if work.missing else [item for item in job.manifest.models if item.digest not in work.kept]
    with follow_models(job, staging, work.plan, models) as contradictions:
        bad = write_carried(job.load, staging, job.accepted, work.plan, progress)
        lost = write_inherited(job.load, staging, work.plan, job.base, progress) if job.base else []
        staging.flush()
    if bad:
        bad += _check_images(job, work.images.blobs)
    elif job.engine is None:
        # Left out here, and not to be found bad on the day when they are wanted.
        bad += _check_images(job, list_image_blobs(job.manifest.images))
    raise_findings([*bad, *lost] if bad else [], f"{job.accepted.opened.folder} is damaged; nothing was switched.")
    store = job.load.folder.root
    raise_findings(lost, f"What this delta builds on is damaged in {store}, not on the disk; nothing was switched.")
    raise_findings(contradictions, f"{job.accepted.opened.folder} contradicts itself; nothing was switched.")
    if work.missing:
        raise explain_missing(job, work)
    for path, item in work.links.items():
        staging.link(job.load.folder.root / item.path, f"{RELEASE}/{FILES}/{path}")


def _check_images(job: Job, blobs: Mapping[str, int]) -> list[Finding]:
    """Read blobs of images that nothing else reads, as far as their parts are here."""
    progress = Transfer(
        "checking images", sum(blobs.values()), job.effects.terminal.report, job.effects.clock.monotonic
    )
    return check_blobs(job.load, job.accepted, blobs, progress.add)


def _send_images(job: Job, staging: Staging, images: ImagesToLoad) -> None:
    if job.engine is None or images == NO_IMAGES:
        return
    source = BlobSource(job.load, staging, job.accepted)
    total = sum(images.blobs.values())
    progress = Transfer("giving the engine its images", total, job.effects.terminal.report, job.effects.clock.monotonic)
    try:
        send_images(job.engine, source, images, progress, job.effects.terminal.report)
    except BundleError as error:
        findings = error.findings or _check_images(job, images.blobs)
        raise BundleError(error.message, error.hint, findings) from error


def _build_record(job: Job) -> LoadRecord:
    manifest, verdict = job.manifest, job.accepted.verdict
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


def _describe(job: Job, work: Work) -> tuple[str, ...]:
    written = write_size(work.written_bytes)
    models = f"models: {len(job.manifest.models)}, {len(work.kept)} of them here already; {written} written"
    return tuple(filter(None, (models, describe_images(job, len(work.images.images)))))


def _preview_one(job: Job) -> LoadResult:
    manifest, folder = job.manifest, job.load.folder
    if job.installed.current == manifest.short_id and not any(check_sizes(folder, manifest)):
        return build_result(job, "already current", ("everything of it is here, judged by sizes",))
    work = preview_work(job)
    check_work_space(job, work)
    blobs = list_image_blobs(manifest.images) if job.engine else {}
    needed = {member.sha256 for member, _ in work.plan.carried} | blobs.keys()
    missing = list_missing_parts(job.accepted, [member for member in manifest.blobs if member.sha256 in needed])
    written = work.written_bytes
    done = [f"{write_size(written)} to write; {len(work.kept)} of {len(manifest.models)} models are here already"]
    done += [f"{len(manifest.images)} images to compare with the engine's"] if job.engine else []
    done += [f"{name} is not here yet" for name in missing]
    return build_result(job, "would be loaded", tuple(done), written)
