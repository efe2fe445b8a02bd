"""``stackctl offline-pack``: reproducible, no more than what is new, refused before anything is written."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from stackctl.core.models.gguf_walk import read_content
from tests.gguf_files import write_model, write_shards
from tests.integration.bundle.pack.pack_site import MIB, PackSite, add_model, list_content


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
    state = site.folder / ".stack" / "gateway"
    state.mkdir(parents=True)
    (state / "gateway.db").write_text("planted: keys and usage of this site")
    folder = Path(site.pack()["folder"])
    keys = [line.partition("=")[2] for line in (site.folder / ".env").read_text().splitlines() if "_KEY=sk-" in line]
    assert len(keys) == 3
    for name, (data, _) in list_content(folder).items():
        for text in (*keys, str(tmp_path), sys.prefix, "planted: keys"):
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


@pytest.mark.parametrize("size", ["12", "60MB", "floppy"])
def test_an_unusable_part_size_is_a_bad_command_line(site: PackSite, size: str) -> None:
    done = site.run("--part-size", size)
    assert done.returncode == 2
    assert "part" in done.stderr
