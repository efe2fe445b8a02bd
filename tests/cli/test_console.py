"""What others wrote (file names, servers' answers, a model's text) is shown, and never obeyed by the terminal."""

from __future__ import annotations

import os

import pytest

from stackctl.cli import console
from stackctl.errors import ConfigError, Finding

HOSTILE = "a\x1b[2Jb\r\x9b1mc\x00"
SHOWN = r"a\x1b[2Jb\r\x9b1mc\x00"


def test_no_printer_passes_a_control_on(capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding(HOSTILE, HOSTILE, HOSTILE)
    console.print_text(HOSTILE)
    console.print_piece(HOSTILE)
    console.print_table(["name"], [[HOSTILE]])
    console.print_warnings([finding])
    console.print_error(ConfigError(HOSTILE, HOSTILE, [finding, finding]))
    console.Progress().report(f"step: {HOSTILE}")
    out, err = capsys.readouterr()
    assert out.count(SHOWN) == 3
    assert err.count(SHOWN) >= 8
    assert not any(control in out + err for control in "\x1b\r\x9b\x00")


def test_lines_and_every_language_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    text = "한국어\n\tहिन्दी 👩‍💻"
    console.print_text(text)
    assert capsys.readouterr().out == text + "\n"


def test_a_file_name_that_is_no_text_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_text(os.fsdecode(b"model-\xff.gguf"))
    assert capsys.readouterr().out == "model-\\udcff.gguf\n"
