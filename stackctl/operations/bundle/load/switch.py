"""Make what was staged and checked a release of the site, and switch to it in one step.

In: a staging folder and its manifest. Out: an installed, current release. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import CURRENT, LOAD_RECORD, PREVIOUS, STAGING, model_folder
from stackctl.core.bundle.format.manifest import MANIFEST_NAME, SIGNATURE_NAME, Model
from stackctl.core.bundle.load.plan import MODELS, RELEASE
from stackctl.core.bundle.load.record import LoadRecord, render_record
from stackctl.core.bundle.load.release import release_folder
from stackctl.errors import BundleError
from stackctl.operations.site.init import complete_env

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.acceptance import AcceptedBundle
    from stackctl.operations.bundle.load.effects import OfflineFolder, Staging
    from stackctl.operations.effects import Effects


def save_manifest(staging: Staging, accepted: AcceptedBundle) -> None:
    """Put the manifest beside what is staged: a disk with parts alone says too little about them."""
    if accepted.opened.signature_text is not None:
        signature = accepted.opened.signature_text.encode("utf-8", "surrogateescape")
        staging.save(f"{RELEASE}/{SIGNATURE_NAME}", signature)
    staging.save(f"{RELEASE}/{MANIFEST_NAME}", accepted.opened.manifest_bytes)


def install_release(
    effects: Effects,
    folder: OfflineFolder,
    staging: Staging,
    accepted: AcceptedBundle,
    models: Sequence[Model],
    record: LoadRecord,
) -> None:
    """Give everything its final place and switch; interrupted at any point, the next such load goes on from there.

    Args:
        models: models that were staged.
    """
    short_id = accepted.manifest.short_id
    staging.save(f"{RELEASE}/{LOAD_RECORD}", render_record(record).encode())
    for model in models:
        folder.install(f"{STAGING}/{short_id}/{MODELS}/{model.digest[:16]}", str(model_folder(model.digest)))
    folder.install(f"{STAGING}/{short_id}/{RELEASE}", release_folder(short_id))
    _make_env(effects, release_folder(short_id))
    before = folder.find_link(CURRENT)
    if before != short_id:
        # First the way back: interrupted between the two, the load is run again; 'current' is the old one until then.
        if before:
            folder.switch(PREVIOUS, before)
        folder.switch(CURRENT, short_id)
    folder.remove(f"{STAGING}/{short_id}")


def _make_env(effects: Effects, release: str) -> None:
    """Make `.env` with keys of the site's own, without which nothing of the release can start."""
    try:
        for line in complete_env(effects, release=release):
            effects.terminal.report(line)
    except OSError as error:
        message = f"{effects.paths.site / '.env'} cannot be written: {error.strerror}."
        raise BundleError(message, "correct that, then run the command again: it goes on where it was") from error
