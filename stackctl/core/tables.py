"""Rows of text to aligned lines that fit a width. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
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
        rows: n >= 1 of the same number of cells.
        width: columns that a line may take; 0 for any. The widest cells are broken until all fits, or until no
            column can become narrower.
    """
    widths = [max(measure_text(row[column]) for row in rows) for column in range(len(rows[0]))]
    if width:
        # A column is never wider than its longest cell, so the room goes to those that need it.
        room = max(width - len(GAP) * (len(widths) - 1), 0)
        while sum(widths) > room and max(widths) > LEAST_WIDTH:
            widths[widths.index(max(widths))] -= 1
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


def _break_cell(text: str, width: int) -> list[str]:
    if measure_text(text) <= width:
        return [text]
    # A wide character takes two columns, so half as many of them are sure to fit.
    limit = width if text.isascii() else max(width * len(text) // measure_text(text), 1)
    lines = wrap(text, limit, break_on_hyphens=False)
    if all(measure_text(line) <= width for line in lines):
        return lines or [""]
    return wrap(text, max(width // 2, 1)) or [""]


def _pad(text: str, width: int) -> str:
    return text + " " * (width - measure_text(text))
