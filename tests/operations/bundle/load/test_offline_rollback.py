"""Going back to an earlier release: checked first, then in one step."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.errors import BundleError
from tests.bundle_builder import ImageBytes, build_bundle, make_bytes
from tests.fakes import raised_by
from tests.loading import Place, damage


@pytest.fixture
def releases(place: Place, tmp_path: Path) -> tuple[Manifest, Manifest]:
    """Two releases with a model and an image each; the second is current."""
    made = []
    for version in (1, 2):
        image = ImageBytes("api-gateway", [{"app": b"%d" % version}])
        models = {"local-chat": make_bytes(f"model {version}", 40_000)}
        files = {"config/stack.yml": b"version: 1\n"}
        manifest = build_bundle(tmp_path / "disk", files=files, models=models, images=[image], version=version)
        place.load(tmp_path / "disk" / manifest.folder)
        made.append(manifest)
    return made[0], made[1]


def test_back_and_forth(place: Place, releases: tuple[Manifest, Manifest]) -> None:
    first, second = releases
    result = place.roll_back()
    assert (result.manifest.id, place.current) == (first.id, first.short_id)
    assert result.before is not None
    assert result.before.id == second.id
    place.roll_back()
    assert place.current == second.short_id


def test_a_kept_release_is_named_by_the_begin_of_its_id(place: Place, releases: tuple[Manifest, Manifest]) -> None:
    first, second = releases
    assert place.roll_back(first.id[:6]).is_changed
    assert not place.roll_back(first.id[:6]).is_changed
    assert place.folder.find_link("previous") == second.short_id
    text = str(raised_by(lambda: place.roll_back("zz")))
    assert f"1 ({first.short_id}), 2 ({second.short_id})" in text


def test_without_an_earlier_release_there_is_no_way_back(place: Place, tmp_path: Path) -> None:
    assert "kept are: none" in str(raised_by(place.roll_back))
    manifest = build_bundle(tmp_path / "disk", files={"a": b"a"})
    place.load(tmp_path / "disk" / manifest.folder)
    error = raised_by(place.roll_back)
    assert isinstance(error, BundleError)
    assert f"kept are: 1 ({manifest.short_id})" in error.message
    assert "offline-load" in error.hint, "its id is the one of the release that is current"


def test_a_release_that_lacks_something_does_not_become_current(
    place: Place, releases: tuple[Manifest, Manifest]
) -> None:
    first, second = releases
    shutil.rmtree(place.site / "offline/store/models" / first.models[0].digest[:16])
    (place.site / "offline/releases" / first.short_id / "files/config/stack.yml").write_bytes(b"v")
    place.engine.images.clear()
    place.engine.blobs.clear()
    error = raised_by(place.roll_back)
    assert isinstance(error, BundleError)
    assert "local-chat.gguf: is missing; expected are 40000 bytes" in str(error)
    assert "stack.yml: is 1 bytes long" in str(error)
    assert "the engine does not have registry.example/api-gateway:1.0 any more" in str(error)
    assert "offline-load" in error.hint
    assert place.current == second.short_id


def test_a_release_of_which_nobody_knows_what_was_loaded_does_not_become_current(
    place: Place, releases: tuple[Manifest, Manifest]
) -> None:
    first, second = releases
    (place.site / "offline/releases" / first.short_id / "load.json").write_text("{")
    assert "load.json: is missing or damaged" in str(raised_by(place.roll_back))
    assert place.current == second.short_id


def test_an_image_that_lost_its_name_gets_it_back(place: Place, releases: tuple[Manifest, Manifest]) -> None:
    first, _ = releases
    place.engine.images.clear()
    place.roll_back()
    assert list(place.engine.images) == [first.images[0].alias]


def test_bytes_count_and_not_sizes(place: Place, releases: tuple[Manifest, Manifest]) -> None:
    first, second = releases
    (path,) = (place.site / "offline/store/models" / first.models[0].digest[:16]).iterdir()
    damage(path, 20_000)
    assert f"{path}: its bytes 16384 to 32768" in str(raised_by(place.roll_back))
    assert place.current == second.short_id
