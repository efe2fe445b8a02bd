"""Reading logs that are rotated: what one start wrote first, however many files it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.adapters.files.log_files import START_LINES, read_from_mark, read_tail

MARK = "launch: chat starts as process 7,"


def write_logs(folder: Path, *texts: str) -> Path:
    """A log and its rotated files, the newest first."""
    log = folder / "chat.log"
    for number, text in enumerate(texts):
        (folder / (f"chat.log.{number}" if number else "chat.log")).write_text(text)
    return log


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((f"old\n{MARK} now\na\nb\n",), "a\nb"),
        (("c\n", f"{MARK} now\na\nb\n"), "a\nb\nc"),
        (("d\n", "c\n", f"x\n{MARK} now\na\nb\n"), "a\nb\nc\nd"),
        # The number of a process comes back one day: the newest of them counts.
        ((f"{MARK} now\na\n", f"{MARK} a year ago\nz\n"), "a"),
        ((f"{MARK} a year ago\nz\n{MARK} now\na\n",), "a"),
        (("launch: chat starts as process 77, now\na\n",), ""),
        (("b\n", "a\n"), ""),
        ((), ""),
    ],
)
def test_a_start_is_found_by_its_mark(tmp_path: Path, texts: tuple[str, ...], expected: str) -> None:
    assert read_from_mark(write_logs(tmp_path, *texts), MARK) == expected


def test_rotated_files_are_read_by_number_and_not_by_name(tmp_path: Path) -> None:
    texts = [f"{number}\n" for number in range(11, 0, -1)]
    log = write_logs(tmp_path, *texts, f"{MARK} now\n0\n")
    assert read_from_mark(log, MARK) == "\n".join(str(number) for number in range(12))


def test_no_more_is_read_than_a_start_needs(tmp_path: Path) -> None:
    log = write_logs(tmp_path, "later\n" * 9 * START_LINES, f"{MARK} now\n" + "first\n" * START_LINES)
    assert read_from_mark(log, MARK).splitlines() == ["first"] * START_LINES


@pytest.mark.parametrize(
    ("content", "lines", "tail"),
    [
        ("", 5, ""),
        ("1\n2\n3\n", 2, "2\n3"),
        ("1\n2\n3", 2, "2\n3"),
        ("1\n2\n", 0, ""),
        ("".join(f"{n}{'x' * 2000}\n" for n in range(9)), 3, "\n".join(f"{n}{'x' * 2000}" for n in (6, 7, 8))),
        ("가" * 4000 + "\n나\n", 1, "나"),
    ],
)
def test_the_end_of_a_log_is_whole_lines(tmp_path: Path, content: str, lines: int, tail: str) -> None:
    (tmp_path / "log").write_text(content, encoding="utf-8")
    assert read_tail(tmp_path / "log", lines) == tail


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_tail(tmp_path / "none", 5) == ""
