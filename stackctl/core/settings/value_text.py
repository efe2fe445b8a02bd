"""A value of `.env` as it was written to what it is, or what is wrong with it. Pure.

In: a field with what is known of its values (choices, bounds, pattern), and text. Out: the value and a clause that
says what is wrong, empty where nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field
from typing import Any

from stackctl.core.text.printable import escape_text, hide_user, is_text
from stackctl.errors import suggest_nearest

# Of the keys that we make ourselves; a provider's own may be anything.
MIN_KEY_LENGTH = 16
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


def parse_value(item: Field[Any], text: str) -> tuple[Any, str]:
    """The value and an empty string, or the default and what is wrong with the text."""
    assert item.default is not MISSING
    meta = item.metadata
    # What has no representation may hold a secret.
    kind = "secret" if meta["secret"] else "text"
    shown = f"'{hide_user(text)}'" if item.repr else f"a {kind} of {len(text)} characters"
    if not is_text(text):
        return item.default, f"is {escape_text(shown)}, which is not UTF-8"
    if isinstance(item.default, bool):
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE, ""
        return item.default, f"is {shown}; expected true or false"
    if isinstance(item.default, int):
        return _parse_integer(item, text)
    wrong = _explain_wrong_text(meta, text)
    return (item.default, f"is {shown}{wrong}") if wrong else (text, "")


def _explain_wrong_text(meta: Mapping[str, Any], text: str) -> str:
    """What a setting's bounds say against a text, a clause that follows it; empty where they say nothing."""
    if meta["several"]:
        return _explain_wrong_names(meta["choices"], [name.strip() for name in text.split(",")])
    if meta["choices"] and text not in meta["choices"]:
        nearest = suggest_nearest(text, meta["choices"])
        expected = f"; expected one of {', '.join(meta['choices'])}"
        return f"{expected}; {nearest}" if nearest else expected
    if meta["pattern"] and not re.fullmatch(meta["pattern"], text):
        return f"; expected {meta['expected']}"
    if meta["generated"] and not _is_header_safe(text):
        return " with spaces or characters that no HTTP header carries; expected printable ASCII"
    if meta["generated"] and len(text) < MIN_KEY_LENGTH:
        return f", which can be guessed; expected at least {MIN_KEY_LENGTH}"
    return ""


def _explain_wrong_names(choices: Sequence[str], names: Sequence[str]) -> str:
    """What is wrong with a list of names, a clause; empty where nothing is."""
    expected = f"expected any of {', '.join(choices)}, each once and separated by commas"
    if unknown := next((name for name in names if name not in choices), None):
        nearest = suggest_nearest(unknown, choices)
        return f"; {expected}; {nearest}" if nearest else f"; {expected}"
    return "" if len(set(names)) == len(names) and all(names) else f"; {expected}"


def _parse_integer(item: Field[Any], text: str) -> tuple[int, str]:
    low, high = item.metadata["bounds"]
    expected = f"expected a whole number from {low} to {high} ({item.metadata['unit']})"
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return 0, f"is '{text}'; {expected}"
    value = int(text)
    if not low <= value <= high:
        return 0, f"is {value}; {expected}"
    return value, ""


def _is_header_safe(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
