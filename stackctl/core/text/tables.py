"""Rows of text to aligned lines that fit a width. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from unicodedata import combining, east_asian_width

GAP: Final = "  "
LEAST_WIDTH: Final = 5


def measure_text(text: str) -> int:
    """Columns that a terminal gives a text: two for a Korean or Chinese character, none for an accent of its own."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def layout_rows(rows: Sequence[Sequence[str]], width: int) -> list[list[list[str]]]:
    """Lines of each row, and padded cells of each line.

    Args:
        rows: rows of cells, n >= 1, each with the same number of cells.
        width: columns that a line may take; 0 for any. The widest cells are broken until all fits, between words
            while that is enough, or until no column can become narrower.
    """
    widths = [max(measure_text(row[column]) for row in rows) for column in range(len(rows[0]))]
    if width:
        # A column is never wider than its longest cell, so the room goes to those that need it.
        room = max(width - len(GAP) * (len(widths) - 1), 0)
        words = [max(_measure_longest_word(row[column]) for row in rows) for column in range(len(widths))]
        _narrow(widths, room, words)
        _narrow(widths, room, [LEAST_WIDTH] * len(widths))
    laid = []
    for row in rows:
        cells = [_break_cell(cell, limit) for cell, limit in zip(row, widths, strict=True)]
        height = max(len(lines) for lines in cells)
        laid.append(
            [
                [
                    _pad(lines[number] if number < len(lines) else "", limit)
                    for lines, limit in zip(cells, widths, strict=True)
                ]
                for number in range(height)
            ]
        )
    return laid


def _narrow(widths: list[int], room: int, floors: list[int]) -> None:
    """Take from the widest columns that are above their floor, in place, until all have room."""
    while sum(widths) > room:
        above = [column for column, width in enumerate(widths) if width > max(floors[column], LEAST_WIDTH)]
        if not above:
            return
        widths[max(above, key=widths.__getitem__)] -= 1


def _measure_longest_word(text: str) -> int:
    return max(map(measure_text, text.split()), default=0)


def _break_cell(text: str, width: int) -> list[str]:
    """Lines of at most so many columns; a word that is longer than a line is cut."""
    if measure_text(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if measure_text(joined) <= width:
            lines[-1] = joined
        else:
            lines += _cut_word(word, width)
    return [line for line in lines if line] or [""]


def _cut_word(word: str, width: int) -> list[str]:
    pieces = [""]
    for char in word:
        if measure_text(pieces[-1] + char) > width:
            pieces.append("")
        pieces[-1] += char
    return pieces


def _pad(text: str, width: int) -> str:
    return text + " " * (width - measure_text(text))
