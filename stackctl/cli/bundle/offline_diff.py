"""``stackctl offline-diff``: what changed between two bundles, and what a delta between them would carry."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_table, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.core.text.progress import write_size

if TYPE_CHECKING:
    from stackctl.core.bundle.pack.diff import Entry
    from stackctl.operations.bundle.check.compare import Comparison

_BUNDLE = click.Path(path_type=Path)


@click.command("offline-diff")
@click.argument("old", type=_BUNDLE)
@click.argument("new", type=_BUNDLE)
@click.option("--key", metavar="FILE|LINE", help="Public key of the packer; by default the setting BUNDLE_PUBLIC_KEY.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def offline_diff(context: Context, old: Path, new: Path, key: str | None, as_json: bool) -> None:
    """Show what is new, gone and changed from bundle OLD to NEW. The manifests (bundle.json) are enough."""
    from stackctl.cli.world.reading import build_reader
    from stackctl.operations.bundle.check.compare import compare_bundles
    from stackctl.operations.bundle.keys import find_public_key

    with context.open_anywhere() as effects:
        found = compare_bundles(build_reader(effects), old, new, find_public_key(effects, key))
    if as_json:
        print_json(_describe(found))
    else:
        _show(found)
    print_warnings(found.findings)


def _describe(found: Comparison) -> dict[str, object]:
    return {
        "old": found.old.id,
        "new": found.new.id,
        "facts": {title: {"old": old, "new": new} for title, old, new in found.diff.facts},
        "changes": [{"change": change.title, **asdict(change)} for change in found.diff.changes],
        "shared_bytes": found.diff.shared_bytes,
        "delta_bytes": found.diff.delta_bytes,
        "lines": found.lines,
        "findings": [asdict(finding) for finding in found.findings],
    }


def _show(found: Comparison) -> None:
    diff = found.diff
    for title, old, new in diff.facts:
        print_text(f"{title}: {old} -> {new}")
    if diff.changes:
        rows = [
            (
                change.title,
                change.kind,
                change.name,
                _describe_state(change.old),
                _describe_state(change.new),
                write_size(change.new_bytes),
            )
            for change in diff.changes
        ]
        print_table(("", "kind", "what", "old", "new", "new content"), rows)
    else:
        print_text("Same content.")
    for text in found.lines.values():
        print_text(f"\n{text}")
    print_text(
        f"\n{write_size(diff.shared_bytes)} are shared; a delta from {found.old.folder} to {found.new.folder}"
        f" carries {write_size(diff.delta_bytes)}."
    )


def _describe_state(state: Entry | None) -> str:
    if state is None:
        return "-"
    text = f"{state.digest.removeprefix('sha256:')[:12]} {write_size(state.size)}"
    return f"{text} {state.detail}".rstrip()
