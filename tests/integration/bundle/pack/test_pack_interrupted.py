"""``stackctl offline-pack`` that is killed, runs out of disk, meets another one or a model that changes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackctl.adapters.bundle.parts_writer import JOURNAL, Journal
from stackctl.adapters.files.content_hashes import ContentHashes, read_range
from stackctl.errors import BundleError
from tests.gguf_files import write_model
from tests.integration.bundle.pack.pack_site import MIB, PackSite, add_model
from tests.integration.stack_site import STACKCTL, clean_environment


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own, of this many bytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


@needs_root
def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(site: PackSite, tmp_path: Path) -> None:
    add_model(site)
    with small_disk(tmp_path / "disk", 50 * MIB) as disk:
        done = site.run(out=disk)
        assert done.returncode == 7
        assert "free" in done.stderr
        assert list(disk.iterdir()) == []


@needs_root
def test_a_disk_that_fills_up_costs_nothing_that_was_written(site: PackSite, tmp_path: Path) -> None:
    """Somebody else fills the disk while the pack runs; with the space back the same command goes on."""
    add_model(site)
    expected = site.pack()["id"]
    with small_disk(tmp_path / "disk", 500 * MIB) as disk:
        process = subprocess.Popen(
            site.build_argv(out=disk), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_environment()
        )
        wait_for_partial(disk, process)
        process.send_signal(signal.SIGSTOP)
        hog = disk / ".hog"
        with hog.open("wb", buffering=0) as file:  # closing must not write
            try:
                while True:
                    file.write(bytes(MIB))
            except OSError:
                pass
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 7
        assert b"is full" in said
        hog.unlink()
        assert site.pack(out=disk)["id"] == expected


def wait_for_partial(out: Path, process: subprocess.Popen[bytes]) -> Path:
    """The working folder of a pack, once it has written something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for partial in out.glob(".*.partial-*"):
            if any(path.stat().st_size for path in partial.glob("part-*")):
                return partial
        time.sleep(0.001)
    raise AssertionError(f"it wrote nothing and ended with {process.poll()}")


def test_killed_at_random_moments_it_goes_on_and_nothing_half_made_shows(site: PackSite) -> None:
    add_model(site, size=300 * MIB)
    expected = site.pack("--part-size", "100m")
    shutil.rmtree(expected["folder"])
    generator = random.Random(3)
    kills = 0
    while kills < 20:
        process = subprocess.Popen(
            site.build_argv("--part-size", "100m"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
        try:
            partial = wait_for_partial(site.out, process)
        except AssertionError:
            assert process.returncode == 0  # it was done before it could be killed
            shutil.rmtree(site.out)
            continue
        time.sleep(generator.uniform(0, 0.3))
        process.kill()
        process.wait()
        if not partial.exists():
            shutil.rmtree(site.out)
            continue
        kills += 1
        assert site.list_bundles() == []
        journal = Journal.load(partial / JOURNAL)
        lost = [path.stat().st_size - journal.synced.get(path.stem, 0) for path in partial.glob("*.tmp")]
        assert sum(lost) <= 64 * MIB
    result = site.pack("--part-size", "100m")
    assert result["id"] == expected["id"]
    verify = [*STACKCTL, "--site", str(site.folder), "offline-verify", "--allow-unsigned", str(result["folder"])]
    subprocess.run(verify, check=True, capture_output=True, env=clean_environment())


def test_two_packs_into_one_folder_do_not_mix(site: PackSite) -> None:
    add_model(site)
    process = subprocess.Popen(
        site.build_argv(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment()
    )
    try:
        wait_for_partial(site.out, process)
        process.send_signal(signal.SIGSTOP)
        second = site.run()
        assert second.returncode == 5
        assert str(process.pid) in second.stderr
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(120) == 0
    assert len(site.list_bundles()) == 1


def test_a_model_that_changes_while_it_is_packed_is_noticed(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.gguf")
    digest = ContentHashes(tmp_path / "cache", time.time_ns).hash_model(path, lambda size: None)
    pieces = read_range(path, digest.stamp, 0, 100)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(BundleError, match="changed"):
        list(pieces)


def test_a_digest_is_remembered_only_for_a_file_that_was_left_alone(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.gguf")
    fresh = ContentHashes(tmp_path / "cache", lambda: path.stat().st_mtime_ns + 1000)
    fresh.hash_model(path, lambda size: None)
    assert not list((tmp_path / "cache").glob("*"))
    settled = ContentHashes(tmp_path / "cache", lambda: path.stat().st_ctime_ns + 10**10)
    first = settled.hash_model(path, lambda size: None)
    assert len(list((tmp_path / "cache").glob("*"))) == 1
    assert settled.hash_model(path, lambda size: None) == first
