"""A disk without room: every command that writes says so, leaves nothing half-written, and `down` still works."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stack_site import DEMO_MODEL, Site
from tests.processes import is_alive

SIZE_BYTES = 8 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Take every byte that is left."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                return


def list_content(folder: Path) -> dict[str, bytes]:
    """The files of a folder, those apart that only say who holds them."""
    paths = [path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("init another", {5}),
        ("render", {5}),
        ("render --out out", {5}),
        ("up", {5}),
        ("up --dry-run", {0}),
        ("models add {model}", {3}),
        ("offline-keygen --out signing", {3}),
        ("offline-pack --out bundle", {3, 5, 7}),
        ("offline-prove", {5}),
        ("down", {0}),
        ("config", {0}),
    ],
)
def test_a_command_that_finds_no_room_says_so_and_leaves_nothing(disk: Path, command: str, codes: set[int]) -> None:
    site = Site.create(disk / "site")
    fill(disk)
    before = list_content(disk)
    done = site.run(*command.format(model=DEMO_MODEL).split(), code=None)
    assert "this is a bug" not in done.stderr
    assert done.returncode in codes, done.stderr
    if done.returncode:
        assert "next:" in done.stderr
        assert "No space left" in done.stderr or "free" in done.stderr
    assert list_content(disk) == before


def test_a_stack_on_a_disk_that_has_filled_up_is_looked_at_and_stopped(disk: Path) -> None:
    site = Site.create(disk / "site")
    try:
        site.run("up")
        fill(disk)
        processes = site.list_processes()
        assert site.load_health()["status"] == "ok"
        assert site.run_json("status")["running"] is True
        again = site.run("up", code=None)
        assert "this is a bug" not in again.stderr
        site.run("down")
        assert [pid for pid in processes if is_alive(pid)] == []
    finally:
        site.stop()
