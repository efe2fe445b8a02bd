"""``stackctl offline-load``: bring a bundle to this site; what runs is not touched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.console import print_json, print_note, print_text, print_warnings
from stackctl.cli.context import Context

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.result import LoadResult

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("offline-load")
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="BUNDLE...")
@click.option("--from", "folders", type=_FOLDER, multiple=True, help="Another folder with parts; may be repeated.")
@click.option("--key", metavar="FILE|LINE", help="Public key of the packer; by default the setting BUNDLE_PUBLIC_KEY.")
@click.option("--allow-unsigned", is_flag=True, help="Go on where there is no signature, or no key to check it with.")
@click.option(
    "--allow-downgrade", is_flag=True, help="Go on where a newer version, or the same with other content, is installed."
)
@click.option(
    "--dry-run", is_flag=True, help="Check what can be checked without reading the parts, and say what is to do."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def offline_load(
    context: Context,
    bundles: tuple[Path, ...],
    folders: tuple[Path, ...],
    key: str | None,
    allow_unsigned: bool,
    allow_downgrade: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Verify bundles (folders, or folders of them), and make the newest the site's current release.

    Run it again after an interruption, or with the next disk: it goes on where it was.
    """
    from stackctl.cli.world.loading import build_load_effects
    from stackctl.operations.bundle.keys import find_public_key
    from stackctl.operations.bundle.load.effects import LoadRequest
    from stackctl.operations.bundle.load.load import preview_load, run_load

    here, context = context.folder, context.find_place()
    if context.folder != here:
        print_note(f"site  {context.folder}")
    with context.open_here() as effects:
        public_key = find_public_key(effects, key)
        request = LoadRequest(bundles, folders, public_key, allow_unsigned, allow_downgrade)
        load = build_load_effects(effects)
        results = (preview_load if dry_run else run_load)(effects, load, request)
    if not dry_run:
        context.remember()
    if as_json:
        print_json([_describe(item) for item in results])
    else:
        _show(results)


def _show(results: Sequence[LoadResult]) -> None:
    for item in results:
        manifest = item.manifest
        signer = f"signed by key {item.verdict.signer}" if item.verdict.is_signed else "unsigned"
        print_text(f"{manifest.name} {manifest.version} ({manifest.short_id}), {signer}: {item.status}.")
        for line in item.done:
            print_text(f"  {line}")
        print_warnings(item.warnings)
    if any(item.status == "loaded" for item in results):
        print_text("\nWhat runs was not touched. Next: run 'stackctl up'")


def _describe(item: LoadResult) -> dict[str, Any]:
    return {
        "id": item.manifest.id,
        "name": item.manifest.name,
        "version": item.manifest.version,
        "status": item.status,
        "signed_by": item.verdict.signer or None,
        "written_bytes": item.written_bytes,
        "images_sent": item.images,
        "runtimes": item.runtimes,
        "warnings": [finding.render_text() for finding in item.warnings],
    }
