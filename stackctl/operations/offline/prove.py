"""Prove that the stack works without a network: rehearse it, judge what was seen, and keep a signed receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stackctl import __version__
from stackctl.core.bundle.load_record import parse_record
from stackctl.core.bundle.places import LOAD_RECORD, OFFLINE_FOLDER, RECEIPTS
from stackctl.core.bundle.release import Release
from stackctl.core.proof import Proof, list_attempts, list_gaps, parse_watch
from stackctl.core.receipt import (
    InstalledBundle,
    Receipt,
    hash_configuration,
    list_answer_facts,
    render_receipt,
)
from stackctl.core.receipt_page import render_page
from stackctl.core.receipt_source import build_installed_bundle, build_model_fact
from stackctl.operations.effects import Effects
from stackctl.operations.offline.rehearse import (
    Rehearsal,
    check_not_running,
    parse_rehearsal,
    rehearse_containers,
    stop_leftovers,
)
from stackctl.operations.offline.stage import Stage
from stackctl.operations.settle import settle
from stackctl.operations.site import LoadedSite, load_known_answer, load_site, render_site


@dataclass(frozen=True, slots=True)
class ProveRequest:
    """Where to put the receipt, and who signs it.

    Attributes:
        sign: the signature file of these bytes.
        out: path of the receipt; by default in the site's ``offline/receipts``.
        wait_timeout_s: replaces the deadline that follows from the models' sizes.
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


def run_prove(effects: Effects, stage: Stage, request: ProveRequest) -> SavedReceipt:
    """Start the stack where no route out exists, watch and ask it, stop it, and write the receipt.

    Raises:
        ConfigError: bad input; nothing was started.
        RuntimeFailure: the stack runs already, is not complete here, or could not be started.
    """
    started = stage.now()
    check_not_running(effects)
    loaded = load_site(effects)
    runtime, rehearsal = _rehearse(effects, stage, loaded, request)
    watches = [parse_watch(service, text) for service, text in rehearsal.watches.items()]
    proof = Proof(
        rehearsal.health,
        rehearsal.failure,
        list_attempts(watches, rehearsal.own_names),
        rehearsal.pulled,
        (*list_gaps(watches), *([rehearsal.gap] if rehearsal.gap else [])),
    )
    models = loaded.choose_stack(runtime).models
    receipt = Receipt(
        proof=proof,
        bundle=_load_bundle(effects, loaded.release),
        stack_name=loaded.settings.stack_name,
        stackctl_version=__version__,
        configuration=hash_configuration(render_site(effects, loaded).files),
        images=rehearsal.images,
        models=tuple(build_model_fact(model, loaded.release) for model in models),
        answers=list_answer_facts(models, load_known_answer(effects)),
        started=started,
        finished=stage.now(),
    )
    return save_receipt(effects, receipt, request)


def save_receipt(effects: Effects, receipt: Receipt, request: ProveRequest) -> SavedReceipt:
    """Write the receipt, its signature and its page."""
    path = request.out or effects.site / OFFLINE_FOLDER / RECEIPTS / f"{receipt.file_stem}.json"
    text = render_receipt(receipt)
    saved = SavedReceipt(receipt, path, path.with_name(f"{path.name}.minisig"), path.with_suffix(".txt"))
    effects.save_text(saved.signature, request.sign(text.encode()), 0o644)
    effects.save_text(saved.page, render_page(receipt), 0o644)
    effects.save_text(path, text, 0o644)
    return saved


def _rehearse(effects: Effects, stage: Stage, loaded: LoadedSite, request: ProveRequest) -> tuple[str, Rehearsal]:
    stop_leftovers(effects, stage, loaded)
    state, _ = settle(effects, loaded)
    if state.runtime == "process":
        return "process", parse_rehearsal(stage.rehearse_isolated(request.wait_timeout_s))
    with effects.hold_lock(effects.state_dir / "lock"):
        return "compose", rehearse_containers(effects, stage, state, request.wait_timeout_s)


def _load_bundle(effects: Effects, release: Release | None) -> InstalledBundle | None:
    if release is None:
        return None
    return build_installed_bundle(release, parse_record(effects.load_text(Path(release.folder) / LOAD_RECORD) or ""))
