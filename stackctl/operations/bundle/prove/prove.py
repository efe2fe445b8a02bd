"""Prove that the stack works without a network: rehearse it, judge what was seen, and keep a signed receipt.

In: a ``ProveRequest``. Out: a ``SavedReceipt``, whatever its verdict. Does I/O through its effects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stackctl import __version__
from stackctl.core.bundle.format.installed_paths import LOAD_RECORD, LOCK, OFFLINE_FOLDER, RECEIPTS
from stackctl.core.bundle.load.record import parse_record
from stackctl.core.bundle.load.release import Release
from stackctl.core.health.answers import explain_off
from stackctl.core.proof.receipt import (
    InstalledBundle,
    Receipt,
    hash_configuration,
    list_answer_facts,
    render_receipt,
)
from stackctl.core.proof.receipt_page import render_page
from stackctl.core.proof.receipt_source import build_installed_bundle, build_model_fact
from stackctl.core.proof.sightings import Proof, list_attempts, list_gaps, parse_watch
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.errors import Finding, RuntimeFailure
from stackctl.operations.bundle.load.installed import check_content
from stackctl.operations.bundle.prove.effects import RehearsalEffects
from stackctl.operations.bundle.prove.rehearse import (
    Rehearsal,
    check_not_running,
    find_lock,
    parse_rehearsal,
    rehearse_containers,
    stop_leftovers,
)
from stackctl.operations.effects import Effects, Files
from stackctl.operations.site.load import load_site
from stackctl.operations.site.placement import place_stack
from stackctl.operations.site.render import load_known_answer, render_site


@dataclass(frozen=True, slots=True)
class ProveRequest:
    """Where to put the receipt, and the key that signs it.

    Attributes:
        sign: makes the signature file's text for these bytes.
        out: path of the receipt; by default in the site's ``offline/receipts``.
        wait_timeout_s: seconds that replace the deadline that follows from the models' sizes.
    """

    sign: Callable[[bytes], str]
    out: Path | None = None
    wait_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class SavedReceipt:
    """A receipt and its three files: JSON, its signature, and the page for a person."""

    receipt: Receipt
    path: Path
    signature: Path
    page: Path


def run_prove(effects: Effects, rehearsing: RehearsalEffects, request: ProveRequest) -> SavedReceipt:
    """Start the stack where no route out exists, watch and ask it, stop it, and write the receipt.

    Raises:
        ConfigError: the site's files or the request are not usable; nothing was started.
        RuntimeFailure: the stack runs already, is not complete here, or could not be started.
    """
    rehearsing.folder.prepare()
    # No load or rollback may come between: the receipt names the release that was rehearsed.
    with effects.files.hold_lock(rehearsing.folder.root / LOCK):
        return save_receipt(effects, _build_receipt(effects, rehearsing, request), request)


def _build_receipt(effects: Effects, rehearsing: RehearsalEffects, request: ProveRequest) -> Receipt:
    started = rehearsing.now()
    check_not_running(effects)
    loaded = load_site(effects)
    findings = _check_release(effects, rehearsing, loaded.release) if loaded.release else []
    runtime, rehearsal = _rehearse(effects, rehearsing, loaded, request)
    if loaded.release and runtime == "compose":
        findings += rehearsing.check_images(loaded.release.manifest)
    watches = [parse_watch(service, text) for service, text in rehearsal.watches.items()]
    proof = Proof(
        rehearsal.health,
        rehearsal.failure,
        list_attempts(watches, rehearsal.own_names),
        rehearsal.pulled,
        (*list_gaps(watches), *([rehearsal.gap] if rehearsal.gap else [])),
        tuple(f"{finding.subject}: {finding.message}" for finding in findings),
    )
    stack = loaded.choose_stack(runtime)
    asked = (model for model in stack.models if not explain_off(model, stack.gateway))
    return Receipt(
        proof=proof,
        bundle=_load_bundle(effects.files, loaded.release),
        stack_name=loaded.settings.stack_name,
        stackctl_version=__version__,
        configuration=hash_configuration(render_site(effects, loaded).files),
        images=rehearsal.images,
        models=tuple(build_model_fact(model, loaded.release) for model in stack.models),
        answers=list_answer_facts(asked, load_known_answer(effects, loaded.release)),
        started=started,
        finished=rehearsing.now(),
    )


def save_receipt(effects: Effects, receipt: Receipt, request: ProveRequest) -> SavedReceipt:
    """Write the receipt, its signature and its page.

    Raises:
        RuntimeFailure: one of the three files cannot be written.
    """
    path = request.out or effects.paths.site / OFFLINE_FOLDER / RECEIPTS / f"{receipt.file_stem}.json"
    text = render_receipt(receipt)
    saved = SavedReceipt(receipt, path, path.with_name(f"{path.name}.minisig"), _name_page(path))
    files = {saved.signature: request.sign(text.encode()), saved.page: render_page(receipt), path: text}
    try:
        for file, content in files.items():
            effects.files.save_text(file, content, 0o644)
    except OSError as error:
        message = f"The proof {receipt.verdict}, but its receipt {path} cannot be written: {error.strerror}."
        raise RuntimeFailure(message, "name another place with --out, and prove again") from error
    return saved


def _name_page(path: Path) -> Path:
    """Path of the page: beside the receipt, and never the receipt's own name."""
    return path.with_name(path.name.removesuffix(".json") + ".txt")


def _check_release(effects: Effects, rehearsing: RehearsalEffects, release: Release) -> list[Finding]:
    """A finding for each range of the release's files that is not what its bundle brought."""
    effects.terminal.report("checking that everything of the release is right")
    return list(check_content(effects, rehearsing.folder, release.manifest))


def _rehearse(
    effects: Effects, rehearsing: RehearsalEffects, loaded: LoadedSite, request: ProveRequest
) -> tuple[str, Rehearsal]:
    with effects.files.hold_lock(find_lock(effects.paths)):
        check_not_running(effects)
        stop_leftovers(effects, rehearsing, loaded)
        state, _ = place_stack(effects, loaded)
        if state.runtime == "compose":
            return "compose", rehearse_containers(effects, rehearsing, state, request.wait_timeout_s)
    # Inside, the program takes the lock itself.
    return "process", parse_rehearsal(rehearsing.rehearse_isolated(request.wait_timeout_s))


def _load_bundle(files: Files, release: Release | None) -> InstalledBundle | None:
    if release is None:
        return None
    return build_installed_bundle(release, parse_record(files.load_text(Path(release.folder) / LOAD_RECORD) or ""))
