"""Writing into staging on a real disk: at many places at once, and where it refuses."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from stackctl.adapters.bundle.staging import Staging
from stackctl.adapters.files.durable_files import ManyWriter


def list_open() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_what_is_written_at_many_places_opens_a_file_once(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"o" * 5000)
    other.write_bytes(b"....")
    before = len(list_open())
    with ManyWriter([(path, 2 * number) for number in range(2000)] + [(other, 1)]) as writer:
        assert len(list_open()) <= before + 2
        writer.write(b"x")
        writer.write(b"y")
        assert writer.written == 2
    assert path.read_bytes() == b"xy" * 2000 + b"o" * 1000
    assert other.read_bytes() == b".xy."


def test_nothing_is_left_open_when_one_of_the_files_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = list_open()
    with pytest.raises(FileNotFoundError), ManyWriter([(tmp_path / "file", 0), (tmp_path / "missing", 0)]):
        pass
    assert list_open() == before


def test_a_write_that_fails_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with ManyWriter([(tmp_path / "file", 0)]) as writer:
        monkeypatch.setattr(os, "pwrite", fail)
        with pytest.raises(OSError, match="No space left"):
            writer.write(b"data")
        assert writer.written == 0


def test_a_program_stays_one_where_no_second_name_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, source: Path) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source = tmp_path / "llama-server"
    source.write_bytes(b"program")
    source.chmod(0o755)
    staging = Staging(tmp_path / "staging")
    staging.link(source, "release/llama-server")
    staging.close()
    made = tmp_path / "staging" / "release" / "llama-server"
    assert (made.read_bytes(), stat.S_IMODE(made.stat().st_mode)) == (b"program", 0o755)
