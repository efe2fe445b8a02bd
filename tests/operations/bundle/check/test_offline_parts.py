"""Parts on several disks: found wherever they lie, whole ones before bad ones, and what is still to come told apart."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from stackctl.cli.world.reading import build_reader
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.errors import Severity
from stackctl.operations.bundle.check.verify import Verified, verify_bundles
from tests.bundle_builder import SECRET, make_bytes
from tests.fakes import World, raised_by
from tests.loading import MODEL, Place, build, damage, read_model, refused


def verify(*paths: Path, folders: tuple[Path, ...] = ()) -> tuple[Verified, ...]:
    return verify_bundles(build_reader(World().effects), paths, SECRET.public, extra_folders=folders)


def list_errors(found: tuple[Verified, ...]) -> list[tuple[str, str]]:
    return [(f.subject, f.message) for item in found for f in item.findings if f.severity is Severity.ERROR]


def split(bundle: Path, disk: Path, *names: str) -> Path:
    """Move parts to another disk."""
    disk.mkdir(parents=True)
    for name in names:
        (bundle / name).rename(disk / name)
    return disk


def find_chunk(manifest: Manifest, number: int) -> tuple[str, int]:
    """The part's name and the offset of a chunk of the model."""
    member = find_members(manifest)[manifest.models[0].files[0].chunks[number]]
    return f"part-{member.part:04d}.tar", member.offset


def test_a_whole_copy_elsewhere_stands_in_for_a_truncated_one(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(bundle / "part-0002.tar", other)
    os.truncate(bundle / "part-0002.tar", 20_000)
    assert [name for name, _ in list_errors(verify(bundle))] == ["part-0002.tar"]
    (found,) = verify(bundle, folders=(other,))
    assert found.is_ok
    assert [f"has 20000 bytes and is not used: {other} has a whole one"] == [f.message for f in found.findings]
    place.load(bundle, folders=[other])
    assert read_model(place, manifest) == MODEL


def test_a_copy_of_the_right_size_that_is_bad_is_no_obstacle_either(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    other = shutil.copytree(bundle, tmp_path / "other")
    for number in (1, 5):
        name, offset = find_chunk(manifest, number)
        damage(bundle / name, offset + 5)
    damage(bundle / "part-0003.tar", 10)
    place.load(bundle, folders=[other])
    assert read_model(place, manifest) == MODEL


@pytest.mark.parametrize("name", ["renamed", "deep/one", "."])
def test_a_renamed_folder_hides_nothing(place: Place, disk: Path, tmp_path: Path, name: str) -> None:
    bundle, manifest = build(disk)
    split(bundle, tmp_path / "other" / name, "part-0002.tar")
    renamed = bundle.rename(bundle.with_name("my bundle"))
    top = (tmp_path / "other" / name).parent if name == "deep/one" else tmp_path / "other"
    assert list_errors(verify(renamed, folders=(top,))) == []
    place.load(renamed, folders=[top])
    assert place.current == manifest.short_id


def test_parts_of_another_bundle_beside_them_are_passed_over(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    other, _ = build(tmp_path / "other", models={"local-chat": make_bytes("another", 150_000)}, version=2)
    (other / "bundle.json").rename(tmp_path / "bundle.json")
    split(bundle, tmp_path / "other" / "z", "part-0002.tar")
    place.load(bundle, folders=[tmp_path / "other"])
    assert read_model(place, manifest) == MODEL


def test_the_second_disk_may_be_given_first(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    second = split(bundle, tmp_path / "second", "part-0002.tar", "part-0003.tar")
    assert list_errors(verify(second, bundle)) == []
    place.load(second, bundle)
    assert place.current == manifest.short_id


def test_the_second_disk_alone_names_the_first(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, _ = build(disk)
    second = split(bundle, tmp_path / "second", "part-0002.tar")
    error = raised_by(lambda: place.load(second))
    assert f"{second} has parts of a bundle and no bundle.json" in str(error)
    assert "first disk" in error.hint
    assert "no bundle.json" in str(list_errors(verify(second)))


def test_a_disk_of_parts_alone_goes_on_with_what_was_begun(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    second = split(bundle, tmp_path / "second" / "x", "part-0002.tar", "part-0003.tar").parent
    assert "part-0002.tar: is not here yet" in refused(lambda: place.load(bundle))
    shutil.rmtree(bundle)
    assert place.load(second).status == "loaded"
    assert read_model(place, manifest) == MODEL


def test_one_bundle_in_two_folders_is_verified_as_one(disk: Path, tmp_path: Path) -> None:
    bundle, _ = build(disk, bootstrap={"install.sh": b"#!/bin/sh\n"})
    second = tmp_path / "second" / bundle.name
    split(bundle, second, "part-0002.tar")
    shutil.copy(bundle / "bundle.json", second)
    shutil.copy(bundle / "bundle.json.sig", second)
    for folders in ((bundle, second), (second, bundle)):
        (found,) = verify(*folders)
        assert list_errors((found,)) == []
    (second / "stray").write_text("")
    assert list_errors(verify(second, bundle)) == [("stray", "a file that does not belong here")]
    (bundle / "bootstrap" / "install.sh").unlink()
    assert ("bootstrap/install.sh", "is missing (10 bytes)") in list_errors(verify(bundle, second))


def test_what_is_to_come_and_what_is_damaged_have_a_line_each(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    os.truncate(bundle / "part-0001.tar", 30_000)
    (bundle / "part-0003.tar").unlink()
    expected = {
        "part-0001.tar": "is damaged: ",
        "part-0003.tar": f"is not here yet ({manifest.parts[2].size} bytes)",
    }
    errors = raised_by(lambda: place.load(bundle)).findings
    assert {finding.subject: finding.message[: len(expected[finding.subject])] for finding in errors} == expected
    assert len(errors) == 2
    seen = list_errors(verify(bundle))
    assert {subject: message[: len(expected[subject])] for subject, message in seen} == expected
    assert len(seen) == 2


# What was staged before


def load_without(place: Place, bundle: Path, away: Path, *names: str) -> None:
    """Load what is there without some parts, as from the first of several disks."""
    away.mkdir(exist_ok=True)
    for name in names:
        (bundle / name).rename(away / name)
    assert "not here yet" in refused(lambda: place.load(bundle))
    for name in names:
        (away / name).rename(bundle / name)


def test_staged_bytes_that_changed_are_written_again(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    load_without(place, bundle, tmp_path / "away", "part-0003.tar")
    (path,) = (place.site / "offline" / "staging").rglob("*.gguf")
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(b"evil")
    assert place.load(bundle).status == "loaded"
    assert read_model(place, manifest) == MODEL


@pytest.mark.parametrize("change", ["altered", "gone", "cut"])
def test_staged_bytes_that_changed_need_their_disk_again(place: Place, disk: Path, tmp_path: Path, change: str) -> None:
    bundle, manifest = build(disk)
    load_without(place, bundle, tmp_path / "away", "part-0003.tar")
    (path,) = (place.site / "offline" / "staging").rglob("*.gguf")
    if change == "altered":
        damage(path, 20_000)
    elif change == "gone":
        path.unlink()
    else:
        os.truncate(path, 20_000)
    name, _ = find_chunk(manifest, 1)
    (bundle / name).rename(tmp_path / name)
    error = raised_by(lambda: place.load(bundle))
    assert name in {finding.subject for finding in error.findings}
    if change == "altered":
        assert "is needed again: what was staged of it is not right any more" in str(error)
    assert place.current == ""
    (tmp_path / name).rename(bundle / name)
    assert place.load(bundle).status == "loaded"
    assert read_model(place, manifest) == MODEL


def test_a_staged_image_that_changed_is_read_again(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    load_without(place, bundle, tmp_path / "away", "part-0003.tar")
    blobs = sorted((place.site / "offline" / "staging").rglob("blobs/*"))
    assert blobs
    for blob in blobs:
        damage(blob, 0)
    assert place.load(bundle).status == "loaded"
    assert list(place.engine.images) == [manifest.images[0].alias]


def test_a_model_in_the_store_that_changes_between_two_runs_is_mended(place: Place, disk: Path, tmp_path: Path) -> None:
    first, _ = build(disk)
    place.load(first)
    other = make_bytes("code", 150_000)
    bundle, manifest = build(disk, models={"local-chat": MODEL, "local-code": other}, version=2)
    last = manifest.parts[-1].name
    load_without(place, bundle, tmp_path / "away", last)
    (path,) = (place.site / "offline").glob("store/models/*/local-chat.gguf")
    damage(path, 20_000)
    place.load(bundle)
    assert read_model(place, manifest) == MODEL
