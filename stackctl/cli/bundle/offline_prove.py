"""``stackctl offline-prove``: show that the stack works without a network; exit 0 when it does, 6 when not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_text
from stackctl.cli.context import Context
from stackctl.errors import UnhealthyError

if TYPE_CHECKING:
    from stackctl.operations.bundle.prove.prove import SavedReceipt

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("offline-prove")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
@click.option("--out", type=_FILE, help="Where to write the receipt; by default in offline/receipts of the site.")
@click.option("--key", type=_FILE, help="Secret key to sign it with; by default the site's own, made once.")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for readiness; by default it follows from the models' sizes.",
)
@click.option("--inside", type=_FILE, hidden=True)
@click.pass_obj
def offline_prove(
    context: Context,
    as_json: bool,
    out: Path | None,
    key: Path | None,
    wait_timeout: float | None,
    inside: Path | None,
) -> None:
    """Start the stack where no route out exists, report all that anything tried to reach, and sign a receipt."""
    if inside is not None:
        _rehearse_inside(context, inside, wait_timeout)
        return
    from stackctl.cli.world.proving import build_rehearsal_effects
    from stackctl.core.bundle.format.signature import sign
    from stackctl.operations.bundle.prove.prove import ProveRequest, run_prove
    from stackctl.operations.bundle.prove.site_key import load_signing_key

    with context.open() as effects:
        secret = load_signing_key(effects, key, _make_random)
        request = ProveRequest(
            sign=lambda data: sign(secret, data, "stackctl offline-prove receipt"),
            out=out.absolute() if out else None,
            wait_timeout_s=wait_timeout,
        )
        saved = run_prove(effects, build_rehearsal_effects(effects), request)
    _show(saved, as_json)
    if not saved.receipt.proof.passed:
        sys.exit(UnhealthyError.exit_code)


def _show(saved: SavedReceipt, as_json: bool) -> None:
    from stackctl.core.proof.receipt import build_receipt_values
    from stackctl.core.proof.receipt_page import render_page

    files = {"receipt": str(saved.path), "signature": str(saved.signature), "page": str(saved.page)}
    if as_json:
        print_json({**build_receipt_values(saved.receipt), "files": files})
        return
    print_text(render_page(saved.receipt))
    for title, path in files.items():
        print_text(f"{title:<14} {path}")


def _rehearse_inside(context: Context, result: Path, wait_timeout: float | None) -> None:
    """Run the part of a proof that is in namespaces of its own; its progress goes to stdout, line by line."""
    from stackctl.cli.world.proving import build_rehearsal_effects
    from stackctl.operations.bundle.prove.rehearse import rehearse_processes, render_rehearsal

    with context.open({"STACK_RUNTIME": "process"}) as effects:
        rehearsal = rehearse_processes(
            replace(effects, terminal=_Printer()), build_rehearsal_effects(effects), wait_timeout
        )
        effects.files.save_text(result, render_rehearsal(rehearsal), 0o600)


def _make_random(count: int) -> bytes:
    import secrets

    return secrets.token_bytes(count)


class _Printer:
    """The terminal of the inner command: it asks no question, and prints reports for the command outside to read."""

    report = staticmethod(print_text)

    def finish(self) -> None:
        pass

    def confirm(self, question: str, /) -> bool:
        return False
