"""Files: written whole and private, read as UTF-8, one command at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackctl.adapters.files.site_files import (
    find_cache_dir,
    hash_folder,
    hold_lock,
    load_text,
    make_private,
    save_text,
)
from stackctl.errors import ConfigError, RuntimeFailure
from tests.fakes import raised_by


def test_a_file_is_written_only_when_something_changes(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "f"
    assert save_text(path, "한글\n", 0o600)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert not save_text(path, "한글\n", 0o600)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert save_text(path, "한글\n", 0o644), "another mode is a change"
    assert path.stat().st_mode & 0o777 == 0o644
    assert load_text(path) == "한글\n"


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        save_text(tmp_path / "f", "x", mode)
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == mode


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    save_text(path, "old")

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        save_text(path, "new")
    assert [item.read_text() for item in tmp_path.iterdir()] == ["old"]


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_text(tmp_path / "nothing") is None
    assert load_text(tmp_path / "file" / "below") is None


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    error = raised_by(lambda: load_text(tmp_path / "latin"))
    assert isinstance(error, ConfigError)
    assert "not UTF-8 text: line 1, column 1" in error.message
    assert isinstance(raised_by(lambda: load_text(tmp_path)), ConfigError)


def test_a_second_command_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    lock = tmp_path / ".stack" / "lock"

    def take() -> None:
        with hold_lock(lock):
            pass

    with hold_lock(lock):
        error = raised_by(take)
    assert isinstance(error, RuntimeFailure)
    assert f"process {os.getpid()}" in error.message
    take()


def test_a_private_folder_is_private_whatever_it_was_before(tmp_path: Path) -> None:
    """`render` makes the state folder by the umask; in one that others can write, they could replace what is run."""
    folder = tmp_path / "a" / "b"
    make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in raised_by(lambda: make_private(tmp_path / "file")).message


def test_a_lock_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def take() -> None:
        with hold_lock(tmp_path / "file" / "lock"):
            pass

    error = raised_by(take)
    assert isinstance(error, RuntimeFailure)
    assert str(tmp_path / "file") in error.message


def test_the_digest_of_a_folder_follows_its_sources_only(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "code.py").write_text("1")
    first = hash_folder(tmp_path)
    (tmp_path / "config.yaml.j2").write_text("a template is no part of the image")
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "code.pyc").write_text("x")
    assert hash_folder(tmp_path) == first
    (tmp_path / "a" / "code.py").rename(tmp_path / "a" / "other.py")
    assert hash_folder(tmp_path) != first


def test_the_cache_is_where_the_system_says(tmp_path: Path) -> None:
    assert find_cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "stackctl"
    assert find_cache_dir({}) == Path.home() / ".cache" / "stackctl"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")  # a container's user without a name, and no HOME

    monkeypatch.setattr(Path, "home", find_no_home)
    error = raised_by(lambda: find_cache_dir({}))
    assert isinstance(error, ConfigError)
    assert "HOME is not set" in error.message
    assert "set HOME" in error.hint


@pytest.mark.parametrize(("mode", "hint"), [(0o000, "chmod u+r"), (0o600, "as the owner")])
def test_a_file_that_its_owner_cannot_open_up_is_not_told_to_be_made_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, hint: str
) -> None:
    path = tmp_path / "state.json"
    path.touch()
    path.chmod(mode)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))  # which root never meets

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert hint in raised_by(lambda: load_text(path)).hint
