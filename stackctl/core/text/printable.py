"""Text that somebody else chose, made safe to show: no control of a terminal, no line of its own. Pure."""

from __future__ import annotations

import re

_USER_OF_ADDRESS = re.compile(r"(?<=://)[^/]+@")
# Besides lines and tabs; halves of characters stand for bytes of a file name that are no text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def is_text(text: str) -> bool:
    """Whether a text can be written: halves of characters stand for bytes that are no UTF-8."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def escape_text(text: str) -> str:
    """The text with everything that is not printable escaped, as Python writes it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def escape_controls(text: str) -> str:
    """The text with everything escaped that a terminal would obey; writing of every language stays as it is."""
    return _CONTROLS.sub(lambda found: escape_text(found[0]), text)


def hide_user(text: str) -> str:
    """The text without the user and password that an address in it may hold."""
    return _USER_OF_ADDRESS.sub("(hidden)@", text)
