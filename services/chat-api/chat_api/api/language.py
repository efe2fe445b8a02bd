"""In which language errors are told. Pure."""

from __future__ import annotations

import re

from chat_api.exceptions.words import LANGUAGES

_RANGE = re.compile(r"([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?")
_MOST_RANGES = 32


def choose_language(accepted: str) -> str:
    """The language of ours that an Accept-Language likes best; else English."""
    likings = dict.fromkeys(LANGUAGES, 0.0)
    for text in accepted.split(",")[:_MOST_RANGES]:
        found = _RANGE.fullmatch(text.strip())
        language = found[1].lower() if found else ""
        if found and language in likings:
            likings[language] = max(likings[language], float(found[2] or 1))
    return max(LANGUAGES, key=likings.__getitem__)  # the first of equals
