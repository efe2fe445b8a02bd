"""What differs between disk and what would be rendered."""

from __future__ import annotations

from stackctl.core.stack.rendered_changes import render_diff


def test_equal_files_make_no_difference() -> None:
    assert render_diff({"a": "1\n"}, {"a": "1\n"}) == ""


def test_changed_new_and_lost_files_are_shown_in_order() -> None:
    text = render_diff({"b": "1\n2\n", "gone": "x\n"}, {"b": "1\n3\n", "a": "new\n"})
    lines = [line for line in text.splitlines() if line.startswith(("+", "-"))]
    assert lines == [
        "--- on disk/a",
        "+++ rendered/a",
        "+new",
        "--- on disk/b",
        "+++ rendered/b",
        "-2",
        "+3",
        "--- on disk/gone",
        "+++ rendered/gone",
        "-x",
    ]
