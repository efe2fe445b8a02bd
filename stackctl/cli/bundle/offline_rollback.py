"""``stackctl offline-rollback``: make an earlier release current; what runs is not touched."""

from __future__ import annotations

import click

from stackctl.cli.console import print_json, print_text
from stackctl.cli.context import Context


@click.command("offline-rollback")
@click.argument("release", required=False, default="", metavar="[ID]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def offline_rollback(context: Context, release: str, as_json: bool) -> None:
    """Go back to the release before, or to the kept one whose id begins with ID; all of it is checked first."""
    from stackctl.cli.world.loading import build_load_effects
    from stackctl.operations.bundle.load.rollback import run_rollback

    with context.open() as effects:
        result = run_rollback(effects, build_load_effects(effects), release)
    manifest, before = result.manifest, result.before
    if as_json:
        print_json(
            {
                "id": manifest.id,
                "name": manifest.name,
                "version": manifest.version,
                "changed": result.is_changed,
                "before": before.id if before else None,
            }
        )
    elif result.is_changed:
        print_text(f"Release {manifest.name} {manifest.version} ({manifest.short_id}) is current.")
        print_text("What runs was not touched. Next: run 'stackctl up'")
    else:
        print_text(f"Release {manifest.name} {manifest.version} ({manifest.short_id}) was current already.")
