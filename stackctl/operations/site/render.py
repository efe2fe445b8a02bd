"""Write the rendered files, or say whether those on disk are current."""

from __future__ import annotations

from pathlib import Path

from stackctl.core.stack.rendered_changes import render_diff
from stackctl.errors import Finding
from stackctl.operations.effects import Effects
from stackctl.operations.site.load import load_site, render_site


def run_render(effects: Effects, out: Path | None) -> tuple[list[tuple[Path, bool]], tuple[Finding, ...]]:
    """Render everything, then write; a failure writes nothing.

    Returns:
        Each file with whether it changed, and warnings.
    """
    loaded = load_site(effects)
    files = render_site(effects, loaded).files
    folder = out or effects.paths.rendered_dir
    return [
        (folder / name, effects.files.save_text(folder / name, text, 0o644)) for name, text in files.items()
    ], loaded.warnings


def check_rendered(effects: Effects, out: Path | None) -> str:
    """A diff between disk and what would be written; empty when they are the same."""
    files = render_site(effects, load_site(effects)).files
    folder = out or effects.paths.rendered_dir
    return render_diff({name: effects.files.load_text(folder / name) or "" for name in files}, files)
