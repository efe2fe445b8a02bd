"""``stackctl offline-pack`` as a user runs it: reproducible, refused before anything is written, safe to kill."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.content_hashes import ContentHashes, read_range
from stackctl.adapters.parts_writer import JOURNAL, Journal
from stackctl.core.dotenv import set_values
from stackctl.core.gguf_walk import read_content
from stackctl.errors import BundleError
from tests.gguf_files import write_model, write_shards
from tests.integration.stack_site import STACKCTL, clean_environment

MIB = 1024 * 1024
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class PackSite:
    """A site whose bundles are made in one folder."""

    folder: Path
    out: Path

    def set(self, **values: str) -> None:
        """Change its ``.env``."""
        path = self.folder / ".env"
        path.write_text(set_values(path.read_text(), values))

    def build_argv(self, *options: str, out: Path | None = None) -> list[str]:
        """The command line of a pack."""
        pack = ("offline-pack", "--out", str(out or self.out), "--python", PYTHON, "--part-size", "65m")
        return [*STACKCTL, "--site", str(self.folder), *pack, *options]

    def run(
        self, *options: str, out: Path | None = None, environment: Mapping[str, str] | None = None, umask: int = 0o022
    ) -> subprocess.CompletedProcess[str]:
        """Pack."""
        return subprocess.run(
            self.build_argv(*options, out=out),
            capture_output=True,
            text=True,
            env=clean_environment(**(environment or {})),
            umask=umask,
            timeout=300,
            check=False,
        )

    def pack(self, *options: str, **keywords: Any) -> dict[str, Any]:
        """Pack and expect success; the result as JSON."""
        done = self.run(*options, "--json", **keywords)
        assert done.returncode == 0, done.stderr
        value = json.loads(done.stdout)
        assert isinstance(value, dict)
        return value

    def list_bundles(self) -> list[str]:
        """Names of what a reader would take for bundles."""
        return sorted(path.name for path in self.out.iterdir() if not path.name.startswith("."))


@pytest.fixture
def site(tmp_path: Path) -> PackSite:
    folder = tmp_path / "site"
    subprocess.run([*STACKCTL, "--site", str(folder), "init"], check=True, capture_output=True, env=clean_environment())
    result = PackSite(folder, tmp_path / "out")
    result.set(STACK_RUNTIME="process", EMBEDDING_MODEL="none")
    return result


def add_model(site: PackSite, name: str = "big.gguf", size: int = 150 * MIB) -> Path:
    """A model larger than two parts, and the one that is served."""
    path = write_model(site.folder / "models" / name, vocabulary=size // 64 // 4)
    site.set(CHAT_MODEL=name)
    return path


def list_content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and mode of every file of a bundle."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_stack_gives_the_same_bytes_anywhere(site: PackSite, tmp_path: Path) -> None:
    add_model(site)
    first = site.pack("--version", "3")
    moved = PackSite(tmp_path / "elsewhere" / "other", tmp_path / "out2")
    shutil.copytree(site.folder, moved.folder)
    moved.set(INFERENCE_THREADS="3", GATEWAY_KEY="sk-another-key-of-another-site")
    second = moved.pack(
        "--version", "3", umask=0o077, environment={"TZ": "Asia/Seoul", "LC_ALL": "C", "HOME": os.environ["HOME"]}
    )
    assert first["id"] == second["id"]
    assert list_content(Path(first["folder"])) == list_content(Path(second["folder"]))
    assert len(first["parts"]) > 2


def test_nothing_of_the_packing_machine_is_in_it(site: PackSite, tmp_path: Path) -> None:
    folder = Path(site.pack()["folder"])
    keys = [line.partition("=")[2] for line in (site.folder / ".env").read_text().splitlines() if "_KEY=sk-" in line]
    assert len(keys) == 3
    for name, (data, _) in list_content(folder).items():
        for text in (*keys, str(tmp_path), sys.prefix):
            assert text.encode() not in data, f"{name} holds {text}"


def test_an_unchanged_stack_is_not_packed_again(site: PackSite) -> None:
    first = site.pack()
    before = {path: path.stat().st_mtime_ns for path in site.out.rglob("*")}
    second = site.pack()
    assert (second["unchanged"], second["folder"]) == (True, first["folder"])
    assert {path: path.stat().st_mtime_ns for path in site.out.rglob("*")} == before


def test_each_change_makes_a_higher_version(site: PackSite) -> None:
    versions = [site.pack()["version"]]
    for context in ("256", "512"):
        site.set(CONTEXT_LENGTH=context)
        versions.append(site.pack()["version"])
    assert versions == [1, 2, 3]
    assert len(site.list_bundles()) == 3


def test_a_delta_carries_a_changed_setting_and_no_model(site: PackSite) -> None:
    add_model(site)
    base = site.pack()
    site.set(CONTEXT_LENGTH="256")
    delta = site.pack("--base", base["folder"])
    assert delta["version"] == 2
    assert sum(part["size"] for part in delta["parts"]) < MIB
    assert delta["inherited_bytes"] > 140 * MIB


def test_a_delta_of_edited_metadata_carries_the_header(site: PackSite) -> None:
    path = add_model(site)
    base = site.pack()
    write_model(path, vocabulary=150 * MIB // 64 // 4, template="{{ messages[0] }} of another length")
    delta = site.pack("--base", base["folder"])
    with path.open("rb") as file:
        header = read_content(file).data_start
    assert sum(part["size"] for part in delta["parts"]) < header + path.stat().st_size // 100


def test_every_shard_travels(site: PackSite) -> None:
    shards = write_shards(site.folder / "models", 3)
    site.set(CHAT_MODEL=shards[0].name)
    manifest = json.loads((Path(site.pack()["folder"]) / "bundle.json").read_text())
    assert [file["path"] for file in manifest["models"][0]["files"]] == [path.name for path in shards]


def test_a_dry_run_writes_nothing(site: PackSite) -> None:
    done = site.run("--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Nothing was written" in done.stdout
    assert not site.out.exists()


def test_a_secret_in_the_configuration_is_refused_by_name(site: PackSite) -> None:
    (site.folder / "stack.yml").write_text("# key of the old gateway: sk-0123456789abcdef\n")
    site.set(GATEWAY_KEY="sk-0123456789abcdef")
    done = site.run()
    assert done.returncode == 7
    assert "config/stack.yml: contains the value of GATEWAY_KEY" in done.stderr
    assert "sk-0123456789abcdef" not in done.stdout + done.stderr
    assert not site.out.exists() or site.list_bundles() == []


def test_a_truncated_model_is_refused(site: PackSite) -> None:
    path = add_model(site, size=4 * MIB)
    os.truncate(path, path.stat().st_size - 1)
    done = site.run()
    assert done.returncode == 3
    assert "truncated" in done.stderr


def test_another_stack_s_bundle_is_no_base(site: PackSite) -> None:
    base = site.pack()
    site.set(STACK_NAME="another")
    done = site.run("--base", base["folder"])
    assert done.returncode == 7
    assert "The base is ai-stack" in done.stderr
    assert site.list_bundles() == [Path(base["folder"]).name]


def test_what_is_no_bundle_is_no_base(site: PackSite) -> None:
    done = site.run("--base", str(site.folder / ".env"))
    assert done.returncode == 7
    assert "is not JSON" in done.stderr


def test_a_base_that_is_newer_is_refused(site: PackSite) -> None:
    base = site.pack("--version", "5")
    site.set(CONTEXT_LENGTH="256")
    done = site.run("--base", base["folder"], "--version", "5")
    assert done.returncode == 7
    assert "higher" in done.stderr


@pytest.mark.parametrize("size", ["12", "1.5g", "floppy"])
def test_an_unusable_part_size_is_a_bad_command_line(site: PackSite, size: str) -> None:
    done = site.run("--part-size", size)
    assert done.returncode == 2
    assert "part" in done.stderr


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
