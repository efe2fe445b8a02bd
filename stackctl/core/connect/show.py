"""What a tool needs to be told, as a person reads and copies it. Pure."""

from __future__ import annotations

import shlex

from stackctl.core.connect.edit import edit_text
from stackctl.core.connect.values import KEY, Guide


def list_parts(guide: Guide, path: str) -> list[tuple[str, str]]:
    """Each part with its heading: what is exported, what a file holds, lines of code.

    Args:
        path: where the tool's own file is; empty where it has none.
    """
    parts: list[tuple[str, str]] = []
    if guide.variables:
        lines = [
            f"export {name}={value if value == KEY else shlex.quote(value)}\n"
            for name, value in guide.variables.items()
        ]
        parts.append(("in the shell, before it is started:", "".join(lines)))
    if guide.settings:
        parts.append((f"in {path}:", edit_text(guide.settings.kind, "", guide.settings.values)))
    if guide.text:
        parts.append(("lines to use:" if not guide.settings else "and:", guide.text))
    return parts
