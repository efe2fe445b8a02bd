"""``stackctl images``: pin the images that come from a registry."""

from __future__ import annotations

from dataclasses import asdict

import click

from stackctl.cli.console import print_json, print_table, print_text
from stackctl.cli.main import Context

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
def images() -> None:
    """Pin the images that this site takes from a registry."""


@images.command(short_help="Hold on to the images that tags name now.")
@click.option("--dry-run", is_flag=True, help="Ask the registries, say what would change; write nothing.")
@_as_json
@click.pass_obj
def pin(context: Context, dry_run: bool, as_json: bool) -> None:
    """Ask registries for the digest of each image, for every GPU, and write them to the site's images.lock.

    From then on the rendered Compose file names images by digest: what a tag is moved to later does not run here. Run
    it again to take what the tags name then; delete images.lock to go by tags alone.
    """
    from stackctl.adapters.registry_digests import find_digests
    from stackctl.operations.images_pin import run_pin

    with context.open() as effects:
        result = run_pin(effects, lambda names: find_digests(names, effects.report), dry_run=dry_run)
    written = result.is_changed and not dry_run
    if as_json:
        print_json({"file": result.path, "written": written, "images": [asdict(item) for item in result.changes]})
        return
    rows = [
        (item.status, item.image, item.digest or "-", item.before if item.before != item.digest else "")
        for item in result.changes
    ]
    print_table(("pin", "image", "digest", "before"), rows)
    if written:
        print_text(f"{result.path} was written; 'stackctl up' runs these images")
    else:
        print_text(f"{result.path} {'was not written (--dry-run)' if result.is_changed else 'is current'}")
