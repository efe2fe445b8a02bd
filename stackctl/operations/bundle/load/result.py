"""What became of the bundles that were to be loaded, as values; what other loads left in staging is named, too.

In: a ``Job`` and what was done. Out: a ``LoadResult``. Reads which loads are in staging; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stackctl.core.bundle.format.installed_paths import STAGING
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.opened import SignatureVerdict
from stackctl.core.text.progress import write_size
from stackctl.errors import Finding, Severity

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.acceptance import AcceptedBundle, Job

Status = Literal["loaded", "already current", "would be loaded", "left out"]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What became of one bundle that was to be loaded.

    Attributes:
        written_bytes: bytes that this run wrote to this site's disk.
        images: names of the images that this run gave to the Docker engine.
        runtimes: runtimes that the bundle now serves here.
        done: what was done, for people, a line each.
    """

    manifest: Manifest
    verdict: SignatureVerdict
    status: Status
    written_bytes: int = 0
    images: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    warnings: tuple[Finding, ...] = ()


def build_result(
    job: Job, status: Status, done: tuple[str, ...], written_bytes: int = 0, images: tuple[str, ...] = ()
) -> LoadResult:
    """The result of one bundle, with what other loads have left lying."""
    left = [
        Finding(
            name,
            f"is left of another load that was interrupted, {write_size(size)}",
            f"run that load again, or remove {job.load.folder.root / STAGING / name}",
            Severity.WARNING,
        )
        for name, size in job.load.folder.list_staging().items()
        if name != job.manifest.short_id
    ]
    verdict, warnings = job.accepted.verdict, (*job.warnings, *left)
    return LoadResult(job.manifest, verdict, status, written_bytes, images, job.runtimes, done, warnings)


def leave_out(accepted: AcceptedBundle) -> LoadResult:
    """The result for a bundle that nothing needs."""
    return LoadResult(accepted.manifest, accepted.verdict, "left out", done=("a newer one was given",))


def describe_images(job: Job, count: int) -> str:
    """What was done with the bundle's images, in words; empty when it has none.

    Args:
        count: number of images that the Docker engine was given.
    """
    if job.engine:
        return f"{len(job.manifest.images)} images, {count} of them given to the engine"
    if "compose" not in job.manifest.runtimes:
        return ""
    if not job.load.machine.docker:
        return "images skipped: no Docker engine answers; this release runs as processes here"
    return "images skipped: STACK_RUNTIME=process; without it, loading the bundle again brings them"
