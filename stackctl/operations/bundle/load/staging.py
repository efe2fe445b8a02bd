"""Bring a bundle's content into staging: from the parts that are reachable, and for a delta from its base.

In: an accepted bundle and its plan. Out: staged files, and findings. Does I/O through its effects.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import model_folder
from stackctl.core.bundle.format.layout import part_name
from stackctl.core.bundle.format.manifest import Manifest, Member, Model
from stackctl.core.bundle.format.manifest_reader import MAX_SHOWN
from stackctl.core.bundle.format.members import describe_owners
from stackctl.core.bundle.load.plan import (
    InstalledRange,
    LoadPlan,
    PartCopy,
    find_installed,
    list_model_ranges,
    plan_blob,
)
from stackctl.core.bundle.load.release import release_folder
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.load.acceptance import AcceptedBundle
from stackctl.operations.bundle.load.installed import is_right

if TYPE_CHECKING:
    from stackctl.core.text.progress import Transfer
    from stackctl.operations.bundle.load.effects import LoadEffects, OfflineFolder, Staging


def list_missing_parts(accepted: AcceptedBundle, members: Iterable[Member]) -> tuple[str, ...]:
    """Names of the parts that have these members and are not reachable."""
    return tuple(sorted({part_name(item.part) for item in members if accepted.find_part(item) is None}))


def find_kept_models(folder: OfflineFolder, manifest: Manifest) -> tuple[Model, ...]:
    """Models of the bundle whose files the store has, judged by their sizes."""
    return tuple(
        model
        for model in manifest.models
        if all(folder.find_size(f"{model_folder(model.digest)}/{file.path}") == file.size for file in model.files)
    )


def check_kept_models(
    folder: OfflineFolder, manifest: Manifest, progress: Transfer
) -> tuple[frozenset[str], list[Finding]]:
    """Rehash the models that the store has.

    Returns:
        Digests of the models that are right, and a finding for each that is wrong and that this bundle cannot mend.
    """
    carried = {member.sha256 for member in manifest.blobs}
    kept: set[str] = set()
    findings: list[Finding] = []
    for model in find_kept_models(folder, manifest):
        ranges = list_model_ranges(manifest, model)
        wrong = [item for item in ranges if not is_right(folder, item, progress.add)]
        if not wrong:
            kept.add(model.digest)
        for item in wrong:
            if item.sha256 not in carried:
                message = f"its bytes {item.offset} to {item.offset + item.size} are damaged, and this delta has none"
                findings.append(Finding(str(folder.root / item.path), message, "load the full bundle again"))
    return frozenset(kept), findings


def write_carried(
    load: LoadEffects, staging: Staging, accepted: AcceptedBundle, plan: LoadPlan, progress: Transfer
) -> list[Finding]:
    """Write what the reachable parts have; what is there already is passed over.

    Returns:
        A finding for every blob that cannot be read or is wrong, with what it belongs to.
    """
    todo = [(member, content) for member, content in plan.carried if not staging.is_done(content)]
    progress.skip(sum(content.written_bytes for _, content in plan.carried if staging.is_done(content)))
    failures: list[tuple[PartCopy, BundleError]] = []
    for number in range(max((len(accepted.list_copies(member)) for member, _ in todo), default=0)):
        # Where one disk's copy of a part is bad, another one's may be right.
        tried = {copy.content.key for copy, _ in failures}
        copies = [
            PartCopy(paths[number], member, content)
            for member, content in todo
            if len(paths := accepted.list_copies(member)) > number and (not number or content.key in tried)
        ]
        again = {copy.content.key for copy in copies}
        failures = [item for item in failures if item[0].content.key not in again]
        failures += load.copy_members(staging, copies, progress.add)
    return _describe_failures(accepted.manifest, failures)


def _describe_failures(manifest: Manifest, failures: Sequence[tuple[PartCopy, BundleError]]) -> list[Finding]:
    """One finding for each blob; those of a part that is bad throughout are cut short."""
    owners = describe_owners(manifest, {copy.member.sha256 for copy, _ in failures})
    counts: Counter[Path] = Counter()
    findings = []
    for copy, error in failures:
        counts[copy.path] += 1
        if counts[copy.path] <= MAX_SHOWN:
            owner = "; ".join(owners.get(copy.member.sha256, ()))
            findings.append(Finding(owner or copy.member.sha256, error.message, error.hint))
    for path, count in counts.items():
        if count > MAX_SHOWN:
            findings.append(Finding(path.name, f"{count - MAX_SHOWN} more blobs of it are bad"))
    return findings


def write_inherited(
    load: LoadEffects,
    staging: Staging,
    plan: LoadPlan,
    base: Manifest,
    progress: Transfer,
) -> list[Finding]:
    """Write what a delta takes from its base, an installed release, rehashed while it is read."""
    findings = []
    sources = find_installed(base, release_folder(base.short_id))
    for content in plan.inherited:
        if staging.is_done(content):
            progress.skip(content.written_bytes)
            continue
        item = sources.get(content.sha256)
        if item is None:
            findings.append(Finding(content.sha256, "the base does not have this content on the disk"))
            continue
        pieces = check_digest(load.folder.read_range(item), item)
        try:
            staging.write(content, pieces)
            progress.add(content.written_bytes)
        except _WrongBytes as error:
            staging.forget(content)
            findings.append(Finding(str(load.folder.root / item.path), error.message, error.hint))
    return findings


class _WrongBytes(BundleError):
    """The bytes are not there, or are not those of their digest."""


def check_digest(pieces: Iterable[bytes], item: InstalledRange) -> Iterator[bytes]:
    """Pass pieces on, and compare their digest when the last one is taken.

    Raises:
        BundleError: the pieces cannot be read, or are not those of the digest.
    """
    digest = hashlib.sha256()
    try:
        for piece in pieces:
            digest.update(piece)
            yield piece
    except BundleError as error:
        raise _WrongBytes(error.message, error.hint) from error
    if digest.hexdigest() != item.sha256:
        message = f"its bytes {item.offset} to {item.offset + item.size} are not those of the bundle that brought them"
        raise _WrongBytes(message, "load the full bundle again")


def find_staged_blobs(staging: Staging, blobs: Mapping[str, int]) -> frozenset[str]:
    """The image blobs that earlier runs staged, because their parts came one after another."""
    return frozenset(sha256 for sha256, size in blobs.items() if staging.is_done(plan_blob(sha256, size)))
