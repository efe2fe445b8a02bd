"""What others wrote (file names, servers' answers, a model's text) is shown, and never obeyed by the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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


def test_a_command_is_named_as_it_is_typed_where_it_is_not_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv" / "bin" / "stackctl")])
    text = "'stackctl up' applies it"
    console.print_text(text)
    console.print_note(text)
    console.print_warnings([Finding("x", "y", text)])
    out, err = capsys.readouterr()
    assert (out + err).count("'.venv/bin/stackctl up' applies it") == 3
