"""Hide keys and what leads to a person in a text: e-mail, phone, resident registration and card numbers. Pure.

In: a text, or a JSON value whose every string and long number is a text. Out: the same with a word in place of each
match. Every pattern sees the text as it was, so none hides from another. The patterns of this module take time in
proportion to the text; an operator's own may not, so the process that masks bounds its time (``content_writer``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.observe.numbers import find_cards, find_resident_numbers

Span = tuple[int, int]
# Shorter ones would hide ordinary words.
_LEAST_SECRET = 8
# An int of fewer digits is no number of a card or a person.
_LEAST_NUMBER = 9
_HIDDEN = "secret"

_SIGN = r"[A-Za-z0-9._~+/=:-]"
_IS = r"[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?"
_DASH = r"[-\u2010-\u2015\u2212]"
_GAP = rf"(?:{_DASH}|[ .\u00a0])"
_AREA = r"0(?:2|[3-6][1-5]|70|80|50\d?)"
# Letters, digits and signs as wide as Korean ones, which are read as the narrow ones that they stand for.
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
# Where a part is named `secret`, only that is hidden. Runs are possessive or bounded, so that nothing is tried again.
_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "private key": (
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
        # An answer that broke off has no end; what there is of the block is hidden all the same.
        r"(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|\Z)",
    ),
    "key": (
        # OpenAI's, Anthropic's and the gateway's own; a digit or a capital tells them from words with hyphens.
        r"(?<![A-Za-z0-9])sk-(?=[A-Za-z0-9_-]{0,64}[A-Z0-9])[A-Za-z0-9_-]{12,}+",
        rf"(?i:\bbearer[ \t]{{1,8}})(?P<secret>(?={_SIGN}{{16}}|[A-Za-z._~+/=-]{{0,15}}[0-9]){_SIGN}{{8,}}+)",
        rf"(?i:\bauthorization{_IS}[a-z]{{1,16}}[ \t]{{1,8}})(?P<secret>{_SIGN}{{6,}}+)",
        rf"(?i:\b(?:x-)?api[_-]?key{_IS})(?P<secret>{_SIGN}{{12,}}+)",
        r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|AROA)[A-Z0-9]{16}(?![A-Za-z0-9])",
        r"(?i:aws.{0,20}?secret.{0,24}?[:=\s][ \t]{0,4}[\"']?)(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
        r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{20,}+",
        r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{20,}+",
        r"(?<![A-Za-z0-9])(?:glpat-|hf_|npm_|pypi-|xox[abeoprs]-)[A-Za-z0-9_-]{16,}+",
        r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}",
        # A JSON Web Token.
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{0,4096}",
    ),
    "e-mail": (
        # What follows an address without a space, as Korean does, is no part of it.
        r"(?<![\w.%+'-])[\w.%+'-]++@[\w-]++(?:\.[\w-]++)*\.(?:xn--[A-Za-z0-9-]{1,59}|[A-Za-z]{2,63}|[^\W\d_]{2,63})",
    ),
    "phone": (
        # With the country's number.
        rf"(?<![\w+])\+[1-9](?:(?:{_GAP}|[()]){{0,3}}\d){{6,14}}(?!\d)",
        # Korea: mobile, also in one piece; of a region, of the internet and personal ones, with their parts apart.
        rf"(?<!\d)(?<!\d\.)01[016789]{_GAP}?\d{{3,4}}{_GAP}?\d{{4}}(?!\d)",
        rf"(?<!\d)(?<!\d\.)(?:\({_AREA}\) ?|{_AREA}(?:\) ?|{_GAP}))\d{{3,4}}{_GAP}\d{{4}}(?!\d)",
        # North America.
        rf"(?<!\d)(?:\(\d{{3}}\) ?|\d{{3}}{_DASH})\d{{3}}{_DASH}\d{{4}}(?!\d)",
    ),
}


class Masks:
    """What is hidden.

    Args:
        own: patterns of the operator's, by the word that is written for a match.
        secrets: texts that are hidden wherever they stand, such as the gateway's own keys.
    """

    def __init__(self, own: Mapping[str, str] | None = None, secrets: Iterable[str] = ()) -> None:
        self._finders: list[tuple[str, Callable[[str], Iterator[Span]]]] = [
            (name, _build_finder(pattern)) for name, patterns in _PATTERNS.items() for pattern in patterns
        ]
        self._finders += [("resident number", find_resident_numbers), ("card", find_cards)]
        self._finders += [(name, _build_finder(pattern)) for name, pattern in (own or {}).items()]
        literal = "|".join(
            re.escape(item) for item in sorted(secrets, key=len, reverse=True) if len(item) >= _LEAST_SECRET
        )
        if literal:
            self._finders.append(("key", _build_finder(literal)))

    def hide(self, text: str) -> str:
        """The text with a word such as ``[e-mail]`` in place of each match; what overlaps becomes one."""
        read = text if text.isascii() else text.translate(_NARROW)
        spans = sorted((span, name) for name, find in self._finders for span in find(read) if span[0] < span[1])
        pieces: list[str] = []
        end = 0
        for (start, stop), name in spans:
            if start >= end:
                pieces += (text[end:start], f"[{name}]")
            end = max(end, stop)
        return "".join((*pieces, text[end:])) if spans else text

    def hide_in(self, value: Any) -> Any:
        """A JSON value with every string, every name of a field and every long number hidden where it has a match."""
        if isinstance(value, str):
            return self._hide_string(value)
        if isinstance(value, dict):
            return {self.hide(name): self.hide_in(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.hide_in(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = repr(value)
            hidden = self.hide(text) if len(text) >= _LEAST_NUMBER else text
            return value if hidden == text else hidden
        return value

    def _hide_string(self, text: str) -> str:
        """Of a string that is JSON itself, such as a tool's arguments, what its escapes stand for is looked at, too."""
        if text[:1] in ("{", "[") and "\\" in text:
            try:
                inner = json.loads(text)
            except (ValueError, RecursionError):
                return self.hide(text)
            hidden = self.hide_in(inner)
            if hidden != inner:
                return json.dumps(hidden, ensure_ascii=False)
        return self.hide(text)


def _build_finder(pattern: str) -> Callable[[str], Iterator[Span]]:
    expression = re.compile(pattern)
    part = _HIDDEN if _HIDDEN in expression.groupindex else 0

    def find(text: str) -> Iterator[Span]:
        return (match.span(part) for match in expression.finditer(text))

    return find
