"""Loading bundles: what arrives, from whole bundles, deltas and parts on several disks."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path

from stackctl.operations.bundle.load.effects import LoadRequest
from stackctl.operations.bundle.load.load import preview_load, run_load
from tests.bundle_builder import SECRET
from tests.fakes import raised_by
from tests.loading import FILES, MODEL, Place, build, damage, read_model


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


def test_an_image_that_only_lost_its_name_gets_it_back(place: Place, disk: Path) -> None:
    first, base = build(disk)
    place.load(first)
    sent = len(place.engine.sent)
    delta, manifest = build(disk, files=FILES | {"licences.txt": b"new"}, base=base, version=2)
    place.engine.images.clear()
    place.load(delta)
    assert list(place.engine.images) == [manifest.images[0].alias]
    assert len(place.engine.sent) == sent


def test_of_a_disk_with_all_bundles_so_far_the_newest_is_loaded(place: Place, disk: Path) -> None:
    made = [build(disk, files={**FILES, "wheels/a.whl": b"%d" % version}, version=version) for version in (1, 2, 3)]
    place.load(made[1][0])
    request = LoadRequest((disk,), public_key=SECRET.public)
    assert [item.status for item in run_load(place.effects, place.load_effects, request)] == [
        "left out",
        "left out",
        "loaded",
    ]
    assert (place.current, place.folder.find_link("previous")) == (made[2][1].short_id, made[1][1].short_id)


def test_a_signature_that_comes_later_is_kept_and_recorded(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    signature = (bundle / "bundle.json.sig").read_bytes()
    (bundle / "bundle.json.sig").unlink()
    run_load(place.effects, place.load_effects, LoadRequest((bundle,), allow_unsigned=True))
    (bundle / "bundle.json.sig").write_bytes(signature)
    assert place.load(bundle).written_bytes == 0
    release = place.site / "offline" / "releases" / manifest.short_id
    assert (release / "bundle.json.sig").read_bytes() == signature
    assert json.loads((release / "load.json").read_text())["key"] == SECRET.public.name


def test_a_record_that_was_damaged_is_written_again(place: Place, disk: Path) -> None:
    bundle, _ = build(disk)
    place.load(bundle)
    record = place.site / "offline" / "current" / "load.json"
    record.write_bytes(b"\xff\xfe")
    place.load(bundle)
    assert json.loads(record.read_text())["signature"] == "verified"


def test_a_model_may_have_the_same_bytes_at_more_places_than_files_may_be_open(place: Place, disk: Path) -> None:
    data = bytes(4096) * 600
    bundle, manifest = build(disk, models={"local-chat": data}, chunk_bytes=4096)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        place.load(bundle)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read_model(place, manifest) == data


def test_a_site_of_processes_needs_no_images_until_it_wants_containers(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    (place.site / ".env").write_text("STACK_RUNTIME=process\n")
    result = place.load(bundle)
    assert (place.engine.sent, result.runtimes) == ([], ("process",))
    assert "images skipped: STACK_RUNTIME=process" in result.done[-1]
    (place.site / ".env").write_text("STACK_RUNTIME=compose\n")
    assert place.load(bundle).runtimes == ("compose", "process")
    assert list(place.engine.images) == [manifest.images[0].alias]


def test_the_runtime_of_the_environment_counts_before_that_of_the_site(place: Place, disk: Path) -> None:
    bundle, _ = build(disk)
    (place.site / ".env").write_text("STACK_RUNTIME=compose\n")
    place.world.environment["STACK_RUNTIME"] = "process"
    result = place.load(bundle)
    assert (place.engine.sent, result.runtimes) == ([], ("process",))


def test_one_bundle_may_lie_on_two_disks_with_some_parts_on_each(place: Place, disk: Path, tmp_path: Path) -> None:
    bundle, manifest = build(disk)
    other = shutil.copytree(bundle, tmp_path / "other" / bundle.name)
    (bundle / "part-0001.tar").unlink()
    (other / "part-0002.tar").unlink()
    place.load(bundle, other)
    assert place.current == manifest.short_id


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
