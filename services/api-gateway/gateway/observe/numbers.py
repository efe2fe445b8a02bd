"""Find Korean resident registration numbers and card numbers by their form and their check digits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

Span = tuple[int, int]

_DASHES = r"-\u2010-\u2015\u2212"
_RESIDENT = re.compile(rf"(?<!\d)(\d\d)(\d\d)(\d\d)( ?[{_DASHES}] ?| )?([1-8])(\d{{6}})(?!\d)")
_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
# Digits that may belong together: a gap is one space or one dash.
_RUN = re.compile(rf"\d++(?:[ \u00a0{_DASHES}]\d++)*+")
_DIGITS = re.compile(r"\d+")
# How cards print their digits, beside all in one piece.
_GROUPS = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 3, 3, 3), *((4, 4, 4, 4, last) for last in (1, 2, 3))})
_MOST_GROUPS = 5
# First digits of the cards that have so many digits; a number of a clock begins with others.
_FIRST = {
    13: re.compile("4"),
    14: re.compile("3[0689]"),
    15: re.compile("3[47]|2131|1800"),
    16: re.compile("[2-9]"),
    17: re.compile("[456]"),
    18: re.compile("[456]"),
    19: re.compile("[456]"),
}


def find_resident_numbers(text: str) -> Iterator[Span]:
    """Where resident registration numbers stand, and foreigners' registration numbers.

    In one piece the check digit must be right. Written in two parts the date is enough: numbers that were given since
    October 2020 have no check digit.
    """
    for match in _RESIDENT.finditer(text):
        _, month, day, gap, _, _ = match.groups()
        if 1 <= int(month) <= 12 and 1 <= int(day) <= 31 and (gap or has_check_digit(match[0])):
            yield match.span()


def has_check_digit(digits: str) -> bool:
    """Whether the last of 13 digits is that of a resident's or, the other way, of a foreigner's number."""
    numbers = [int(digit) for digit in digits]
    total = sum(number * weight for number, weight in zip(numbers, _WEIGHTS, strict=False))
    expected = (11 - total % 11) % 10, (13 - total % 11) % 10
    return numbers[-1] == expected[5 <= numbers[6] <= 8]


def find_cards(text: str) -> Iterator[Span]:
    """Where card numbers stand: 13 to 19 digits in one piece or grouped as on a card, with a check digit by Luhn."""
    for run in _RUN.finditer(text):
        if len(run[0]) < min(_FIRST):
            continue
        groups = [match.span() for match in _DIGITS.finditer(text, *run.span())]
        for first in range(len(groups)):
            for last in range(first, min(first + _MOST_GROUPS, len(groups))):
                if _is_card(text, groups[first : last + 1]):
                    yield groups[first][0], groups[last][1]


def _is_card(text: str, groups: Sequence[Span]) -> bool:
    if len(groups) > 1 and tuple(end - start for start, end in groups) not in _GROUPS:
        return False
    if len(groups) == 1 and groups[0][1] - groups[0][0] not in _FIRST:
        return False
    numbers = [int(digit) for start, end in groups for digit in text[start:end]]
    return bool(_FIRST[len(numbers)].match("".join(map(str, numbers)))) and is_luhn(numbers)


def is_luhn(numbers: Sequence[int]) -> bool:
    """Whether the last digit is right by Luhn's rule (ISO/IEC 7812-1)."""
    doubled = [sum(divmod(number * 2, 10)) for number in numbers[-2::-2]]
    return (sum(doubled) + sum(numbers[-1::-2])) % 10 == 0
