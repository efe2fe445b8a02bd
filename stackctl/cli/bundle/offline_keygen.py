"""``stackctl offline-keygen``: the pair of keys that bundles are signed and checked with."""

from __future__ import annotations

from pathlib import Path

import click

from stackctl.cli.console import print_text
from stackctl.cli.context import Context


@click.command("offline-keygen")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="FOLDER|PREFIX",
    help="Folder for bundle.key and bundle.pub, or what both names begin with; by default the current folder.",
)
@click.pass_obj
def offline_keygen(context: Context, out: Path) -> None:
    """Make a key to sign bundles with, and its public half, which the site checks them with."""
    import secrets

    from stackctl.cli.world.keys import create_files
    from stackctl.operations.bundle.keys import DEFAULT_PREFIX, make_keys

    made = make_keys(out / DEFAULT_PREFIX if out.is_dir() else out, secrets.token_bytes, create_files)
    print_text(
        f"Secret key: {made.secret} (not locked: keep it where bundles are packed, and nowhere else)"
        f"\nPublic key: {made.public}, key {made.name}"
        f"\n\n  {made.line}"
        "\n\nTry next:"
        f"\n  stackctl offline-pack --out FOLDER --key {made.secret}"
        "\n  bring the public line to the site by another way than the bundle, and set it in the site's .env:"
        f"\n  BUNDLE_PUBLIC_KEY={made.line}"
    )
