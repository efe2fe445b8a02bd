"""``stackctl images``: pin the images that come from a registry, remove those that were built here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_table, print_text
from stackctl.cli.context import Context
from stackctl.core.text.progress import write_size

if TYPE_CHECKING:
    from stackctl.core.images.prune import PruneItem

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
def images() -> None:
    """Pin the images that this site takes from a registry; remove old ones that were built here."""


@images.command(short_help="Hold on to the images that tags name now.")
@click.option("--dry-run", is_flag=True, help="Ask the registries, say what would change; write nothing.")
@_as_json
@click.pass_obj
def pin(context: Context, dry_run: bool, as_json: bool) -> None:
    """Ask registries for the digest of each image, for every GPU, and write them to the site's images.lock.

    From then on the rendered Compose file names images by digest: what a tag is moved to later does not run here. Run
    it again to take what the tags name then; delete images.lock to go by tags alone.
    """
    from stackctl.cli.world.images import find_digests
    from stackctl.operations.images.pin import run_pin

    with context.open() as effects:
        result = run_pin(effects, lambda names: find_digests(names, effects.terminal.report), dry_run=dry_run)
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


@images.command(short_help="Remove built images that nothing needs.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@_as_json
@click.pass_obj
def prune(context: Context, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove images that stackctl built on this machine and that no container uses and no site of yours names.

    Images that came from a registry, from a bundle or from anybody else are never touched, nor are those that early
    versions built under a stack's name (ai-stack/api-gateway): nothing tells whose they are. A terminal is asked first;
    elsewhere nothing is removed without --yes.
    """
    import sys

    from stackctl.cli.world.images import build_image_store
    from stackctl.cli.world.sites import load_known_sites
    from stackctl.operations.images.prune import plan_prune, run_prune

    with context.open() as effects:
        store = build_image_store()
        items = plan_prune(effects, store, load_known_sites())
    going = [item for item in items if not item.kept]
    if not as_json:
        _show_prune(items)
    is_asked = not (dry_run or yes or as_json) and bool(going) and sys.stdin.isatty()
    agreed = not dry_run and (yes or (is_asked and click.confirm("Remove them?")))
    removed = run_prune(store, items) if agreed else ()
    freed = sum(item.frees_bytes for item in removed)
    if as_json:
        print_json(
            {"removed": [item.image for item in removed], "freed_bytes": freed, "images": list(map(asdict, items))}
        )
    elif agreed and going:
        print_text(f"Removed {len(removed)} of {len(going)}: {write_size(freed)}.")
        print_text("Layers that Docker's build cache has too are kept by it: 'docker builder prune' frees those.")
    elif going and not is_asked and not dry_run:
        print_text("Next: run it again with --yes")


def _show_prune(items: tuple[PruneItem, ...]) -> None:
    if not items:
        print_text("stackctl has built no image here.")
        return
    rows = [
        ("kept" if item.kept else "remove", item.image, item.kept or write_size(item.frees_bytes)) for item in items
    ]
    print_table(("", "image", "frees"), rows)
