"""Loading bundles: what arrives, from whole bundles, deltas and parts on several disks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stackctl.core.bundle.manifest_reader import find_members
from stackctl.operations.offline.load import preview_load
from stackctl.operations.offline.load_effects import LoadRequest
from tests.bundle_builder import SECRET, ImageBytes, make_bytes
from tests.fakes import raised_by
from tests.loading import FILES, MODEL, Place, build, damage, read_model, refused


def test_a_bundle_becomes_the_current_release(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    result = place.load(bundle)
    release = place.site / "offline" / "current"
    assert result.status == "loaded"
    assert place.current == manifest.short_id
    assert read_model(place, manifest) == MODEL
    assert {path: (release / "files" / path).read_bytes() for path in FILES} == FILES
    assert (release / "bundle.json").read_bytes() == (bundle / "bundle.json").read_bytes()
    assert place.engine.images == {manifest.images[0].alias: manifest.images[0].manifest.digest}
    record = json.loads((release / "load.json").read_text())
    assert (record["signature"], record["key"], record["runtimes"]) == (
        "verified",
        SECRET.public.name,
        ["compose", "process"],
    )
    assert place.folder.list_staging() == {}
    assert "GATEWAY_KEY=sk-made" in (place.site / ".env").read_text()


def test_every_user_can_read_what_was_loaded_whatever_the_umask(place: Place, disk: Path) -> None:
    bundle, _ = build(disk)
    before = os.umask(0o077)
    try:
        place.load(bundle)
    finally:
        os.umask(before)
    offline = place.site / "offline"
    paths = [path for path in (offline, *offline.rglob("*")) if not path.is_symlink() and path.name != "lock"]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o755}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o644}


def test_the_same_bundle_again_changes_nothing(place: Place, disk: Path) -> None:
    bundle, _ = build(disk)
    place.load(bundle)
    before, sent = place.list_files(), len(place.engine.sent)
    assert place.load(bundle).status == "already current"
    assert (place.list_files(), len(place.engine.sent)) == (before, sent)


def test_a_dry_run_changes_nothing_and_says_what_would_be_written(place: Place, disk: Path) -> None:
    bundle, _ = build(disk)
    request = LoadRequest((bundle,), public_key=SECRET.public)
    (result,) = preview_load(place.effects, place.load_effects, request)
    assert (result.status, result.written_bytes) == ("would be loaded", 150_000 + sum(map(len, FILES.values())))
    assert list(place.site.iterdir()) == []
    assert place.engine.sent == []


def test_what_was_damaged_after_it_was_loaded_is_mended_by_loading_again(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    place.load(bundle)
    (path,) = (place.site / "offline").glob("store/models/*/*.gguf")
    damage(path, 70_000)
    assert place.load(bundle).status == "loaded"
    assert read_model(place, manifest) == MODEL


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


def test_an_image_that_only_lost_its_name_gets_it_back(place: Place, disk: Path) -> None:
    first, base = build(disk)
    place.load(first)
    sent = len(place.engine.sent)
    delta, manifest = build(disk, files=FILES | {"licences.txt": b"new"}, base=base, version=2)
    place.engine.images.clear()
    place.load(delta)
    assert list(place.engine.images) == [manifest.images[0].alias]
    assert len(place.engine.sent) == sent


def test_parts_may_come_one_after_another(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    first, second, third = (part.name for part in manifest.parts)
    away = tmp_path / "away"
    away.mkdir()
    for name in (first, second, third):
        (bundle / name).rename(away / name)
    for name, missing in ((first, {second, third}), (second, {third})):
        (away / name).rename(bundle / name)
        error = raised_by(lambda: place.load(bundle))
        assert error.exit_code == 7
        assert {finding.subject for finding in error.findings} == missing
        assert "--from" in error.hint
        assert (place.current, place.engine.images) == ("", {})
        (bundle / name).rename(away / name)
    (away / third).rename(bundle / third)
    assert place.load(bundle).status == "loaded", "the first two are not needed any more"
    assert read_model(place, manifest) == MODEL
    assert len(place.engine.images) == 1


def test_parts_may_lie_on_several_disks(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    other = tmp_path / "other" / manifest.folder
    other.mkdir(parents=True)
    (bundle / "part-0002.tar").rename(other / "part-0002.tar")
    place.load(bundle, folders=[tmp_path / "other"])
    assert read_model(place, manifest) == MODEL
