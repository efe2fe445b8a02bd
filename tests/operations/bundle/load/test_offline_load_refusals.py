"""Loading bundles: what is refused, with every reason in one run, and what that leaves: nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.bundle.offline_folder import OfflineFolder
from stackctl.core.bundle.format.layout import BLOCK, pad
from stackctl.core.bundle.format.manifest import Manifest, hash_model, seal_manifest
from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.core.bundle.format.members import list_members
from stackctl.operations.bundle.check.verify import verify_bundles
from stackctl.operations.bundle.load.effects import LoadRequest
from stackctl.operations.bundle.load.load import run_load
from tests.bundle_builder import OTHER_SECRET, SECRET, ImageBytes, assemble_bundle, write_bundle
from tests.fakes import CHECKOUT, raised_by
from tests.loading import FILES, MODEL, Place, build, damage, refused


def test_an_older_bundle_needs_a_flag(place: Place, disk: Path) -> None:
    old, _ = build(disk, version=1)
    new, manifest = build(disk, version=2)
    place.load(new)
    assert "version: the bundle has version 1; version 2 is installed" in refused(lambda: place.load(old))
    assert place.current == manifest.short_id
    assert place.load(old, downgrade=True).status == "loaded"


def test_another_bundle_of_the_same_version_needs_a_flag(place: Place, disk: Path) -> None:
    first, one = build(disk)
    second, two = build(disk, files=FILES | {"licences.txt": b"x"})
    place.load(first)
    text = refused(lambda: place.load(second))
    assert f"version: version 1 is installed with other content ({one.short_id})" in text
    assert place.current == one.short_id
    (warning,) = place.load(second, downgrade=True).warnings
    assert one.short_id in warning.message
    assert place.current == two.short_id


def test_a_site_on_a_read_only_disk_is_told_to_go_elsewhere(
    place: Place, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = build(disk)
    refusal = OSError(errno.EROFS, "Read-only file system", str(place.site / "offline"))
    monkeypatch.setattr(Path, "mkdir", lambda *given, **named: (_ for _ in ()).throw(refusal))
    error = raised_by(lambda: place.load(bundle))
    assert "is mounted read-only" in str(error)
    assert "--site" in error.hint
    assert "writable for this user" not in error.hint


def test_a_bundle_of_another_stack_is_refused(place: Place, disk: Path) -> None:
    first, _ = build(disk)
    other, _ = build(disk, name="other-stack")
    place.load(first)
    assert "name: the site runs test-stack; the bundle is of other-stack" in refused(lambda: place.load(other))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "aarch64"}, "architecture: this machine is arm64; the bundle is for amd64"),
        ({"os": "darwin"}, "os: this machine runs darwin; the bundle is for linux"),
        ({"docker": "20.10.5"}, "docker: the engine has version 20.10.5; the bundle needs 24.0 or newer"),
        ({"docker": "", "python": "3.13"}, "python: stackctl runs on Python 3.13; the bundle's wheels are for 3.11"),
    ],
)
def test_a_machine_that_it_was_not_packed_for_is_refused(
    place: Place, disk: Path, change: dict[str, str], words: str
) -> None:
    bundle, _ = build(disk)
    place.machine = replace(place.machine, **change)
    assert words in refused(lambda: place.load(bundle))
    assert place.current == ""


def test_without_docker_images_are_skipped_and_brought_later(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    place.machine = replace(place.machine, docker="")
    result = place.load(bundle)
    assert (result.runtimes, place.engine.images) == (("process",), {})
    assert any("images skipped" in line for line in result.done)
    place.machine = replace(place.machine, docker="28.5.2")
    assert place.load(bundle).images == (manifest.images[0].alias,)
    assert json.loads((place.site / "offline/current/load.json").read_text())["runtimes"] == ["compose", "process"]


def test_without_docker_a_bundle_for_containers_only_is_refused(place: Place, disk: Path) -> None:
    bundle, _ = build(disk, runtimes=("compose",))
    place.machine = replace(place.machine, docker="")
    assert "runtime: no Docker engine answers" in refused(lambda: place.load(bundle))


@pytest.mark.parametrize("secret", [None, OTHER_SECRET], ids=["unsigned", "another key"])
def test_what_nobody_trusted_signed_is_refused_before_it_is_parsed(place: Place, disk: Path, secret: Any) -> None:
    bundle, _ = build(disk, secret=secret)
    if secret is None:
        (bundle / "bundle.json").write_bytes(b"{" * 100)
    text = refused(lambda: place.load(bundle))
    assert "is not signed" in text or f"Key {OTHER_SECRET.public.name} signed this" in text
    assert list(place.site.iterdir()) == []


def test_an_unsigned_bundle_that_is_allowed_is_recorded_as_such(place: Place, disk: Path) -> None:
    bundle, _ = build(disk, secret=None)
    (result,) = run_load(place.effects, place.load_effects, LoadRequest((bundle,), allow_unsigned=True))
    assert [finding.subject for finding in result.warnings] == ["signature"]
    assert json.loads((place.site / "offline/current/load.json").read_text())["signature"] == "unsigned"
    assert not (place.site / "offline/current/bundle.json.sig").exists()


def test_a_stack_file_of_the_sites_own_is_refused_unless_it_says_nothing(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    own = place.site / "stack.yml"
    own.write_text("version: 1\nlimits: {retries: 2}\n")
    text = refused(lambda: place.load(bundle))
    assert f"{own}: differs from the release's" in text
    for text in ((CHECKOUT / "stack.yml").read_text(), "version: 1\n"):
        own.write_text(text)
        place.load(bundle)
    assert place.current == manifest.short_id


def test_two_loads_at_once_are_refused(place: Place, disk: Path) -> None:
    bundle, _ = build(disk)
    place.folder.prepare()
    with place.effects.files.hold_lock(place.folder.root / "lock"):
        assert "Another stackctl command" in refused(lambda: place.load(bundle))
    place.load(bundle)


def test_too_little_space_is_refused_before_anything_is_written(
    place: Place, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = build(disk)
    find = OfflineFolder.find_disk
    monkeypatch.setattr(OfflineFolder, "find_disk", lambda *given: replace(find(*given), free_bytes=100_000))
    text = refused(lambda: place.load(bundle))
    assert "98 KiB are free; needed are 147 KiB for models and files" in text
    assert not list((place.site / "offline").rglob("*.gguf"))


def test_everything_that_is_bad_is_named_in_one_run(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    members = find_members(manifest)
    chunks = [members[sha256] for sha256 in manifest.models[0].files[0].chunks]
    layer = members[manifest.images[0].layers[1].digest.removeprefix("sha256:")]
    for member in (chunks[0], chunks[-1], layer):
        damage(bundle / f"part-{member.part:04d}.tar", member.offset + 5)
    text = refused(lambda: place.load(bundle))
    assert "model file local-chat.gguf, its bytes 0 to 16383" in text
    assert "model file local-chat.gguf, its bytes 147456 to 149999" in text
    assert "image registry.example/api-gateway:1.0, layer 2 of 2" in text
    assert place.current == ""
    assert place.engine.images == {}


def test_a_bad_image_switches_nothing_and_names_every_blob(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    members = find_members(manifest)
    for layer in manifest.images[0].layers:
        member = members[layer.digest.removeprefix("sha256:")]
        damage(bundle / f"part-{member.part:04d}.tar", member.offset)
    text = refused(lambda: place.load(bundle))
    assert "layer 1 of 2" in text
    assert "layer 2 of 2" in text
    assert (place.current, place.engine.images) == ("", {})


@pytest.mark.parametrize("change", ["cut", "longer", "swapped"])
def test_a_part_of_another_size_is_refused_before_anything_is_written(place: Place, disk: Path, change: str) -> None:
    bundle, manifest = build(disk)
    part = bundle / "part-0003.tar"
    size = part.stat().st_size
    if change == "swapped":
        (bundle / "part-0001.tar").replace(part)
    else:
        os.truncate(part, size - 512 if change == "cut" else size + 512)
    text = refused(lambda: place.load(bundle))
    assert f"{bundle}: part-0003.tar: is damaged: it has" in text
    assert f"expected are {manifest.parts[2].size} bytes" in text
    assert not (place.site / "offline" / "staging").exists()


# What verify refuses


def list_spots(bundle: Path, manifest: Manifest) -> Iterator[tuple[str, int]]:
    """A byte of every kind that a bundle has: file and offset."""
    yield from (("SHA256SUMS", 3), ("bootstrap/install.sh", 2), ("bootstrap/wheels/b.whl", 0))
    yield from (("bundle.json", 40), ("bundle.json.sig", 40))
    for number, part in enumerate(manifest.parts, 1):
        yield part.name, part.size - 700
        yield part.name, part.size - 1
        for member in list_members(manifest, number)[:: 4 if number > 1 else 1]:
            yield part.name, member.offset - BLOCK + 100
            yield part.name, member.offset - BLOCK + 400
            yield part.name, member.offset
            if pad(member.size):
                yield part.name, member.offset + member.size


@pytest.mark.parametrize("docker", ["28.5.2", ""], ids=["with Docker", "without"])
def test_every_byte_that_verify_refuses_is_refused(tmp_path: Path, disk: Path, docker: str) -> None:
    bootstrap = {"install.sh": b"#!/bin/sh\n", "wheels/b.whl": b"b"}
    image = ImageBytes("api-gateway", [{"base": b"base"}, {"app": b"one"}], has_index=True)
    bundle, manifest = build(disk, bootstrap=bootstrap, images=[image])
    place = Place(tmp_path)
    place.machine = replace(place.machine, docker=docker)
    spots = list(list_spots(bundle, manifest))
    assert len(spots) > 50
    for name, offset in spots:
        damage(bundle / name, offset)
        assert refused(lambda: place.load(bundle)), (name, offset)
        assert (place.current, place.engine.images) == ("", {}), (name, offset)
        damage(bundle / name, offset)
        shutil.rmtree(place.site / "offline", ignore_errors=True)  # what was read before and is right is not read again
    assert place.load(bundle).status == "loaded"


@pytest.mark.parametrize("name", ["stray", "bootstrap/stray", "part-0009.tar", ".DS_Store"])
def test_a_stray_file_is_refused_and_to_be_removed(place: Place, disk: Path, name: str) -> None:
    bundle, _ = build(disk, bootstrap={"install.sh": b"#!/bin/sh\n"})
    (bundle / name).write_bytes(b"")
    error = raised_by(lambda: place.load(bundle))
    assert f"{name}: a file that does not belong here" in str(error)
    assert "remove it" in error.hint
    assert list(place.site.iterdir()) == [place.site / "offline"]
    (bundle / name).unlink()
    assert place.load(bundle).status == "loaded"


@pytest.mark.parametrize("name", ["SHA256SUMS", "bootstrap/install.sh"])
def test_a_whole_bundle_lacks_nothing_beside_its_parts(place: Place, disk: Path, name: str) -> None:
    bundle, _ = build(disk, bootstrap={"install.sh": b"#!/bin/sh\n"})
    (bundle / name).unlink()
    assert f"{name}: is missing" in refused(lambda: place.load(bundle))


def misname_model(folder: Path, **changes: Any) -> tuple[Path, Manifest]:
    """A signed bundle whose manifest says another digest of a model than its chunks have."""
    manifest, parts = assemble_bundle(files=FILES, models={"local-chat": MODEL}, **changes)
    (model,) = manifest.models
    files = (model.files[0].model_copy(update={"sha256": "0" * 64}),)
    wrong = model.model_copy(update={"digest": hash_model(files), "files": files})
    fields = {name: getattr(manifest, name) for name in Manifest.model_fields if name not in ("format", "id")}
    manifest = seal_manifest(**fields | {"models": (wrong,)})
    write_bundle(folder / manifest.folder, manifest, parts, {}, SECRET)
    return folder / manifest.folder, manifest


def test_chunks_that_are_not_the_model_that_the_manifest_names_are_refused(place: Place, disk: Path) -> None:
    bundle, manifest = misname_model(disk)
    (verified,) = verify_bundles(place.load_effects.reader, [bundle], SECRET.public)
    assert [finding.subject for finding in verified.findings] == ["model file local-chat.gguf"]
    for _ in range(2):  # the second time from what the first one staged
        error = raised_by(lambda: place.load(bundle))
        assert "contradicts itself" in str(error)
        digest = hashlib.sha256(MODEL).hexdigest()
        assert f"model file local-chat.gguf: its chunks are right and together hash to {digest}" in str(error)
        assert "pack it again" in error.hint
        assert place.current == ""
    assert manifest.short_id in place.folder.list_staging()
