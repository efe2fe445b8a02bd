"""What a tool needs to be told, as a person reads and copies it, and what writing changes. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from difflib import unified_diff

from stackctl.core.connect.edit import edit_text
from stackctl.core.connect.values import KEY, Guide, Tool, fill

HIDDEN = "***"
# The value of a name that ends as those of secrets do, and whatever looks like a key of this gateway or of a provider.
_SECRET = re.compile(
    r"""((?:key|token|secret|password|authorization)["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,}\]]+)""",
    re.IGNORECASE,
)
_KEY_LIKE = re.compile(r"\bsk-[\w-]{8,}")


def list_parts(guide: Guide, path: str, key: str = KEY) -> list[tuple[str, str]]:
    """Each part with its heading: what is exported, what a file holds, lines of code.

    Args:
        path: where the tool's own file is; empty where it has none.
        key: what is shown as the key.
    """
    parts: list[tuple[str, str]] = []
    if guide.variables:
        shown = {name: value.replace(KEY, key) for name, value in guide.variables.items()}
        lines = [f"export {name}={value if value == KEY else shlex.quote(value)}\n" for name, value in shown.items()]
        parts.append(("in the shell, before it is started:", "".join(lines)))
    if guide.settings:
        parts.append((f"in {path}:", edit_text(guide.settings.kind, "", fill(guide.settings.values, key))))
    if guide.text:
        parts.append(("lines to use:" if not guide.settings else "and:", guide.text.replace(KEY, key)))
    return parts


def render_difference(path: str, before: str, after: str, key: str) -> str:
    """The difference as ``diff -u`` shows it, without the key, and without others that the file holds."""
    lines = unified_diff(before.splitlines(), after.splitlines(), path, path, lineterm="")
    text = "\n".join(lines)
    text = text.replace(key, HIDDEN) if key else text
    return _KEY_LIKE.sub(HIDDEN, _SECRET.sub(rf"\g<1>{HIDDEN}", text))


def describe_standing(tool: Tool) -> str:
    """How well it is known that a tool works: tried, only read about, or that it cannot."""
    if tool.obstacle:
        return f"cannot work: {tool.obstacle}"
    return f"{tool.checked} on {tool.checked_on}" if tool.checked else f"its documentation only, {tool.checked_on}"


def tell_standing(tool: Tool) -> str:
    """The same as a sentence's end, after the tool's name."""
    if tool.obstacle:
        return describe_standing(tool)
    if tool.checked:
        return f"tried here with {describe_standing(tool)}"
    return f"not tried here; as its documentation says, {tool.checked_on}"


def render_table(tools: Iterable[Tool]) -> str:
    """The tools as a table in Markdown."""
    rows = [("`connect`", "What it is", "Tried with"), ("---", "---", "---")]
    rows += [(f"`{tool.name}`", tool.title, describe_standing(tool)) for tool in tools]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
