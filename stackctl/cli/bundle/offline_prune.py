"""``stackctl offline-prune``: remove releases that nothing needs any more; what runs is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_text
from stackctl.cli.context import Context

if TYPE_CHECKING:
    from stackctl.operations.bundle.load.prune import Pruning


@click.command("offline-prune")
@click.option("--keep", type=click.IntRange(min=1), default=2, show_default=True, help="How many releases stay.")
@click.option("--interrupted", is_flag=True, help="Also remove loads that were interrupted and may go on.")
@click.option("--yes", is_flag=True, help="Remove; without it, say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def offline_prune(context: Context, keep: int, interrupted: bool, yes: bool, as_json: bool) -> None:
    """Remove old releases, the models and images that only they used, and interrupted loads of older bundles.

    The current release, the one before it and the one that runs always stay.
    """
    from stackctl.cli.world.loading import build_load_effects
    from stackctl.operations.bundle.load.prune import plan_prune, run_prune

    with context.open() as effects:
        prune = run_prune if yes else plan_prune
        pruning = prune(effects, build_load_effects(effects), keep, interrupted=interrupted)
    if as_json:
        print_json(
            {
                "done": yes,
                "removed": [item.id for item in pruning.removed],
                "kept": [item.id for item in pruning.kept],
                "models": pruning.models,
                "images": pruning.images,
                "interrupted_removed": [item.short_id for item in pruning.abandoned],
                "interrupted_kept": [item.short_id for item in pruning.begun],
                "freed_bytes": pruning.freed_bytes,
            }
        )
    else:
        _show(pruning, yes)


def _show(pruning: Pruning, is_done: bool) -> None:
    from stackctl.core.bundle.load.release import title_release
    from stackctl.core.text.progress import write_size

    things = [
        *(f"release {title_release(item)}" for item in pruning.removed),
        *(f"model   {path}" for path in pruning.models),
        *(f"image   {alias}" for alias in pruning.images),
        *(f"load    {item.title}, interrupted" for item in pruning.abandoned),
    ]
    verb = "Removed" if is_done else "Would be removed"
    print_text(f"{verb} ({write_size(pruning.freed_bytes)} of this disk):" if things else "There is nothing to remove.")
    for thing in things:
        print_text(f"  {thing}")
    print_text(f"Kept: {', '.join(map(title_release, pruning.kept)) or 'no release is installed'}")
    for item in pruning.begun:
        size = write_size(item.size_bytes)
        print_text(f"Kept: the interrupted load of {item.title}, {size}: run it again, or give --interrupted")
    if things and not is_done:
        print_text("Next: run it again with --yes")
