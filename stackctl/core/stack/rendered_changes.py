"""What differs between the rendered files on disk and those that would be written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import unified_diff


def render_diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """A unified diff over all files; empty when nothing differs. A missing file counts as empty."""
    parts: list[str] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        parts += unified_diff(old.splitlines(), new.splitlines(), f"on disk/{name}", f"rendered/{name}", lineterm="")
    return "\n".join(parts)
