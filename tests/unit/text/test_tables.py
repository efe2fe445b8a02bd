"""Tables that fit a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.text.tables import GAP, LEAST_WIDTH, layout_rows, measure_text

cells = st.text(st.characters(codec="utf-8", exclude_categories=("C", "M", "Z")) | st.just(" "), max_size=60)
tables = st.integers(1, 6).flatmap(
    lambda count: st.lists(st.lists(cells, min_size=count, max_size=count), min_size=1, max_size=5)
)


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("한글", 4), ("e\u0301", 1), ("", 0)])
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, columns: int) -> None:
    assert measure_text(text) == columns


@given(tables, st.sampled_from([40, 60, 80]))
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(rows: list[list[str]], width: int) -> None:
    laid = layout_rows(rows, width)
    least = len(rows[0]) * LEAST_WIDTH + len(GAP) * (len(rows[0]) - 1)
    for row, lines in zip(rows, laid, strict=True):
        for line in lines:
            assert measure_text(GAP.join(line)) <= max(width, least)
        for column, cell in enumerate(row):
            shown = "".join(line[column] for line in lines)
            assert shown.replace(" ", "") == cell.replace(" ", "")


def test_without_a_width_every_row_is_one_line() -> None:
    assert layout_rows([["a", "b" * 200], ["cc", ""]], 0) == [[["a ", "b" * 200]], [["cc", " " * 200]]]


def test_the_widest_column_is_broken_and_the_others_stay() -> None:
    laid = layout_rows([["ok", "a sentence of some length that goes on", "x"]], 30)
    assert [line[0].strip() for line in laid[0]] == ["ok", "", ""][: len(laid[0])]
    assert all(len(GAP.join(line)) == 30 for line in laid[0])


@pytest.mark.parametrize("word", ["supercalifragilistic", "한글한글한글한글한글"])
def test_a_word_is_broken_only_where_it_is_longer_than_its_line(word: str) -> None:
    sentence = f"many small words of a sentence and {word[:3]} and more and more of them"
    laid = layout_rows([[word, sentence]], 30)
    assert laid[0][0][0] == word
    assert " ".join(line[1].strip() for line in laid[0]) == sentence
    assert all(measure_text(GAP.join(line)) <= 30 for line in laid[0])
    assert layout_rows([[word, sentence]], 20)[0][0][0] != word, "less room than words need: they are cut"
