"""Text that somebody else chose, made safe to show: no control of a terminal, no line of its own. Pure."""

from __future__ import annotations


def escape_text(text: str) -> str:
    """The text with everything that is not printable escaped, as Python writes it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
