"""In which language the page is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

LANGUAGES = ("en", "ko")

_RANGE = re.compile(r"([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?")
_MOST_RANGES = 32


def choose_language(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> str:
    """The language that the address names (``?lang=ko``), else the one that the browser likes best; else English."""
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"lang" and value.decode("latin-1") in LANGUAGES:
            return value.decode("latin-1")
    accepted = b",".join(value for name, value in headers if name == b"accept-language").decode("latin-1")
    likings = dict.fromkeys(LANGUAGES, 0.0)
    for text in accepted.split(",")[:_MOST_RANGES]:
        found = _RANGE.fullmatch(text.strip())
        language = found[1].lower() if found else ""
        if found and language in likings:
            likings[language] = max(likings[language], float(found[2] or 1))
    return max(LANGUAGES, key=likings.__getitem__)  # the first of equals
