"""``stackctl offline-verify``: exit 0 when everything is as it was packed, 7 with all that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_table, print_warnings
from stackctl.cli.context import Context
from stackctl.core.text.progress import write_size
from stackctl.errors import BundleError, Severity

if TYPE_CHECKING:
    from stackctl.operations.bundle.check.verify import Verified

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("offline-verify")
@click.argument("bundles", nargs=-1, type=click.Path(path_type=Path), metavar="[BUNDLE]...")
@click.option("--quick", is_flag=True, help="Signature, manifest, presence and sizes only; read no part.")
@click.option("--key", metavar="FILE|LINE", help="Public key of the packer; by default the setting BUNDLE_PUBLIC_KEY.")
@click.option("--allow-unsigned", is_flag=True, help="Go on where there is no signature, or no key to check it with.")
@click.option("--from", "folders", type=_FOLDER, multiple=True, help="Another folder with parts; may be repeated.")
@click.option("--installed", is_flag=True, help="Verify what offline-load installed at this site.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def offline_verify(
    context: Context,
    bundles: tuple[Path, ...],
    quick: bool,
    key: str | None,
    allow_unsigned: bool,
    folders: tuple[Path, ...],
    installed: bool,
    as_json: bool,
) -> None:
    """Compare bundles (folders, or folders of them), or this site's installed ones, with their signed manifests."""
    if bool(bundles) == installed:
        raise click.UsageError("Name one or more bundles, or give --installed.")
    from stackctl.cli.world.reading import build_reader
    from stackctl.operations.bundle.check.verify import VERIFY_HINT, verify_bundles
    from stackctl.operations.bundle.check.verify_installed import REPAIR_HINT, verify_installed
    from stackctl.operations.bundle.keys import find_public_key

    with context.open() if installed else context.open_anywhere() as effects:
        public_key, reader = find_public_key(effects, key), build_reader(effects)
        if installed:
            from stackctl.cli.world.loading import find_image_check

            check = find_image_check(effects)
            found = verify_installed(
                reader, effects.paths.site, public_key, allow_unsigned=allow_unsigned, quick=quick, check_images=check
            )
        else:
            found = verify_bundles(
                reader, bundles, public_key, extra_folders=folders, allow_unsigned=allow_unsigned, quick=quick
            )
    _show(found, as_json, REPAIR_HINT if installed else VERIFY_HINT)


def _show(found: Sequence[Verified], as_json: bool, hint: str) -> None:
    findings = tuple(finding for item in found for finding in item.findings)
    errors = tuple(finding for finding in findings if finding.severity is Severity.ERROR)
    if as_json:
        print_json({"ok": not errors, "bundles": [_describe(item) for item in found]})
    else:
        print_table(("", "bundle", "version", "signed by", "parts", "images", "models", "size"), map(_build_row, found))
        print_warnings(finding for finding in findings if finding.severity is Severity.WARNING)
    if errors:
        count = f"{len(errors)} thing{'s'[: len(errors) != 1]}"
        (common, *others) = {finding.hint for finding in errors}
        # Where each has a next step of its own, one for all of them would mislead.
        each = "do what stands below each line, then verify again"
        hint = each if others and common and all(others) else hint if others else common or hint
        raise BundleError(f"{count} found wrong.", hint, () if as_json else errors)


def _describe(item: Verified) -> dict[str, object]:
    manifest, verdict = item.manifest, item.verdict
    return {
        "folder": str(item.folder),
        "ok": item.is_ok,
        "id": manifest.id if manifest else None,
        "name": manifest.name if manifest else None,
        "version": manifest.version if manifest else None,
        "signed_by": verdict.signer or None if verdict else None,
        "comment": verdict.comment if verdict else "",
        "parts": len(manifest.parts) if manifest else None,
        "images": [image.reference for image in manifest.images] if manifest else [],
        "models": [name for model in manifest.models for name in model.served_names] if manifest else [],
        "size_bytes": manifest.size_bytes if manifest else None,
        "findings": [asdict(finding) for finding in item.findings],
    }


def _build_row(item: Verified) -> tuple[str, ...]:
    status = "ok" if item.is_ok else "failed"
    manifest, verdict = item.manifest, item.verdict
    signer = verdict.signer or "nobody" if verdict else "?"
    if manifest is None:
        return (status, str(item.folder), "?", signer, "?", "?", "?", "?")
    counts = (len(manifest.parts), len(manifest.images), len(manifest.models))
    size = write_size(manifest.size_bytes)
    return (status, manifest.folder, str(manifest.version), signer, *map(str, counts), size)
