"""Loading deltas: what they leave to their base, alone, on each other, and where the base is not what it was."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.operations.bundle.load.effects import LoadRequest
from stackctl.operations.bundle.load.load import preview_load
from tests.bundle_builder import SECRET, ImageBytes, make_bytes
from tests.fakes import raised_by
from tests.loading import FILES, MODEL, Place, build, damage, read_model, refused


def test_a_delta_brings_only_what_is_new(place: Place, disk: Path) -> None:
    first, base = build(disk)
    place.load(first)
    (path,) = (place.site / "offline").glob("store/models/*/*.gguf")
    inode, sent = path.stat().st_ino, len(place.engine.sent)
    files = FILES | {"config/settings.env": b"INFERENCE_SLOTS=3\n"}
    delta, manifest = build(disk, files=files, base=base, version=2)
    result = place.load(delta)
    assert manifest.size_bytes < 10_000
    assert (place.current, place.folder.find_link("previous")) == (manifest.short_id, base.short_id)
    assert path.stat().st_ino == inode, "an unchanged model is not copied"
    assert result.written_bytes == sum(map(len, files.values()))
    assert len(place.engine.sent) == sent
    assert (place.site / "offline/current/files/wheels/a.whl").read_bytes() == b"wheel"


WHEEL = make_bytes("wheel", 100_000)


def test_a_package_that_releases_share_lies_on_the_disk_once(place: Place, disk: Path) -> None:
    files = FILES | {"wheels/large.whl": WHEEL}
    first, base = build(disk, part_size=1 << 18, files=files)
    place.load(first)
    changed = {"config/settings.env": b"INFERENCE_SLOTS=3\n"}
    delta, _ = build(disk, part_size=1 << 18, files=files | changed, base=base, version=2)
    assert place.load(delta).written_bytes == sum(map(len, (FILES | changed).values()))
    whole, _ = build(disk, part_size=1 << 18, files=files | {"licences.txt": b"new"}, version=3)
    assert place.load(whole).written_bytes == sum(map(len, FILES.values())) + 3
    wheels = list((place.site / "offline" / "releases").glob("*/files/wheels/large.whl"))
    assert [path.read_bytes() for path in wheels] == [WHEEL] * 3
    assert len({path.stat().st_ino for path in wheels}) == 1
    settings = list((place.site / "offline" / "releases").glob("*/files/config/settings.env"))
    assert len({path.stat().st_ino for path in settings}) == 3, "what somebody may edit is each release's own"


def test_where_files_cannot_have_two_names_a_package_is_copied(
    place: Place, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    first, base = build(disk, part_size=1 << 18, files=FILES | {"wheels/large.whl": WHEEL})
    place.load(first)
    delta, _ = build(
        disk, part_size=1 << 18, files=FILES | {"wheels/large.whl": WHEEL, "new": b"n"}, base=base, version=2
    )
    place.load(delta)
    assert (place.site / "offline/current/files/wheels/large.whl").read_bytes() == WHEEL


def test_a_shared_package_that_is_damaged_here_is_not_shared_and_not_blamed_on_the_disk(
    place: Place, disk: Path
) -> None:
    files = FILES | {"wheels/large.whl": WHEEL}
    first, base = build(disk, part_size=1 << 18, files=files)
    place.load(first)
    (wheel,) = (place.site / "offline").glob("releases/*/files/wheels/large.whl")
    damage(wheel, 50_000)
    delta, _ = build(disk, part_size=1 << 18, files=files | {"new": b"n"}, base=base, version=2)
    error = raised_by(lambda: place.load(delta))
    assert "What this delta builds on is damaged in" in str(error)
    assert f"{delta}" not in str(error)
    assert f"{wheel}: its bytes 0 to 100000" in str(error)
    assert place.current == base.short_id
    whole, _ = build(disk, part_size=1 << 18, files=files | {"new": b"n"}, version=2)
    place.load(whole)
    assert (place.site / "offline/current/files/wheels/large.whl").read_bytes() == WHEEL


def test_a_delta_of_a_model_takes_the_rest_of_it_from_the_base(place: Place, disk: Path) -> None:
    first, base = build(disk)
    place.load(first)
    edited = make_bytes("new head", 16 * 1024) + MODEL[16 * 1024 :]
    delta, manifest = build(disk, models={"local-chat": edited}, base=base, version=2)
    place.load(delta)
    assert manifest.size_bytes < 30_000
    assert read_model(place, manifest) == edited
    assert read_model(place, base) == MODEL, "the release before keeps its model"


def test_a_delta_without_its_base_is_refused(place: Place, disk: Path) -> None:
    _, base = build(disk)
    delta, _ = build(disk, models={"local-chat": MODEL + b"more"}, base=base, version=2)
    text = refused(lambda: place.load(delta))
    assert f"base: this delta builds on version 1 ({base.short_id}), which is not installed; here are: none" in text
    assert place.current == ""


def test_a_base_and_its_delta_are_loaded_in_order_by_one_command(place: Place, disk: Path) -> None:
    _, base = build(disk)
    _, manifest = build(disk, models={"local-chat": MODEL + b"more"}, base=base, version=2)
    place.load(disk)
    assert place.current == manifest.short_id
    assert read_model(place, manifest) == MODEL + b"more"


@pytest.mark.parametrize("is_unchanged", [True, False], ids=["the model stays", "the model is new"])
def test_a_base_whose_content_does_not_rehash_is_refused_by_name(place: Place, disk: Path, is_unchanged: bool) -> None:
    first, base = build(disk)
    place.load(first)
    (path,) = (place.site / "offline").glob("store/models/*/*.gguf")
    damage(path, 100_000)
    model = MODEL if is_unchanged else MODEL + b"more"
    files = FILES | {"licences.txt": b"new"}
    delta, _ = build(disk, models={"local-chat": model}, files=files, base=base, version=2)
    text = refused(lambda: place.load(delta))
    assert f"{path}: its bytes 98304 to 114688" in text
    assert place.current == base.short_id


def test_content_of_the_base_that_is_gone_is_named_all_of_it(place: Place, disk: Path) -> None:
    first, base = build(disk)
    place.load(first)
    second, _ = build(disk, base=base, models={"local-chat": MODEL + b"more"}, version=2)
    (model,) = (place.site / "offline").glob("store/models/*/*.gguf")
    model.unlink()
    (wheel,) = (place.site / "offline").glob("releases/*/files/wheels/a.whl")
    wheel.write_bytes(b"WHEEL")
    text = refused(lambda: place.load(second))
    assert f"{model} cannot be read: No such file" in text
    assert f"{wheel}: its bytes 0 to 5" in text


def test_images_that_a_delta_leaves_to_an_engine_that_lost_them_are_named(place: Place, disk: Path) -> None:
    first, base = build(disk)
    place.load(first)
    delta, _ = build(disk, files=FILES | {"licences.txt": b"new"}, base=base, version=2)
    place.engine.images.clear()
    place.engine.blobs.clear()
    text = refused(lambda: place.load(delta))
    assert "image registry.example/api-gateway:1.0, layer 1 of 2: is left to the base" in text
    assert place.current == base.short_id


@pytest.mark.parametrize("keeps_blobs", [True, False], ids=["with blobs", "with layers of its own"])
def test_layers_that_the_engine_does_not_find_by_itself_are_taken_out_of_it(
    place: Place, disk: Path, keeps_blobs: bool
) -> None:
    first, base = build(disk)
    place.engine.keeps_blobs, place.engine.finds_layers = keeps_blobs, False
    place.load(first)
    image = ImageBytes("api-gateway", [{"new": b"first"}, {"base": b"base"}, {"app": b"two"}])
    delta, manifest = build(disk, images=[image], base=base, version=2)
    sent = len(place.engine.sent)
    place.load(delta)
    shared = manifest.images[0].layers[1].digest if keeps_blobs else manifest.images[0].diff_ids[1]
    assert shared in place.engine.sent[sent:]
    assert shared.removeprefix("sha256:") not in find_members(manifest)
    assert manifest.images[0].alias in place.engine.images
    assert place.folder.list_staging() == {}


def test_a_dry_run_of_a_base_and_its_delta_takes_the_base_for_loaded(place: Place, disk: Path) -> None:
    first, base = build(disk)
    second, _ = build(disk, base=base, files={**FILES, "wheels/a.whl": b"other"}, version=2)
    request = LoadRequest((second, first), public_key=SECRET.public)
    results = preview_load(place.effects, place.load_effects, request)
    assert [(item.manifest.version, item.status) for item in results] == [
        (1, "would be loaded"),
        (2, "would be loaded"),
    ]


def test_deltas_on_deltas_are_loaded_in_order_from_the_first_that_is_missing(place: Place, disk: Path) -> None:
    first, one = build(disk)
    second, two = build(disk, base=one, files={**FILES, "wheels/a.whl": b"2"}, version=2)
    third, three = build(disk, base=two, files={**FILES, "wheels/b.whl": b"3"}, version=3)
    place.load(first)
    place.load(third, second)
    assert place.current == three.short_id
    place.roll_back(one.short_id)
    fourth, four = build(disk, base=three, files={**FILES, "wheels/b.whl": b"4"}, version=4)
    place.load(fourth)
    assert (place.current, place.folder.find_link("previous")) == (four.short_id, one.short_id)
    assert read_model(place, four) == MODEL


def test_what_was_loaded_before_a_failure_of_the_same_command_is_named(place: Place, disk: Path) -> None:
    first, base = build(disk)
    second, _ = build(disk, base=base, files={**FILES, "wheels/a.whl": make_bytes("w", 5000)}, version=2)
    damage(second / "part-0001.tar", 5000)
    text = refused(lambda: place.load(first, second))
    assert f"Loaded before it, and current now: test-stack 1 ({base.short_id})." in text
    assert place.current == base.short_id
