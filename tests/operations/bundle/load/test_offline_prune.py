"""Removing old releases: what stays, what goes with them, and an interruption on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.adapters.bundle.offline_folder import OfflineFolder
from stackctl.core.bundle.format.installed_paths import model_folder
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.load.release import title_release
from stackctl.core.site.site_state import SiteState
from stackctl.operations.bundle.load.effects import LoadRequest
from stackctl.operations.bundle.load.load import run_load
from stackctl.operations.bundle.load.prune import Pruning, plan_prune, run_prune
from stackctl.operations.site.state import save_state
from tests.bundle_builder import SECRET, ImageBytes, make_bytes
from tests.loading import FILES, Place, build, refused
from tests.operations.bundle.load.test_offline_load_interrupted import failing_at


@pytest.fixture
def releases(place: Place, disk: Path) -> tuple[Manifest, ...]:
    """Four releases; the first two share a model, each has an image of its own, and the last one is current."""
    made = []
    for version in (1, 2, 3, 4):
        image = ImageBytes("api-gateway", [{"app": b"%d" % version}])
        models = {"local-chat": make_bytes(f"model {max(version, 2)}", 40_000)}
        bundle, manifest = build(disk, models=models, images=[image], version=version)
        place.load(bundle)
        made.append(manifest)
    return tuple(made)


def prune(place: Place, count: int, *, interrupted: bool = False) -> Pruning:
    return run_prune(place.effects, place.load_effects, count, interrupted=interrupted)


def begin(place: Place, disk: Path, version: int) -> Manifest:
    """Load a bundle whose last part is not here."""
    bundle, manifest = build(
        disk / "begun", models={"local-chat": make_bytes(f"begun {version}", 90_000)}, version=version
    )
    (bundle / manifest.parts[-1].name).unlink()
    request = LoadRequest((bundle,), public_key=SECRET.public, allow_downgrade=True)
    refused(lambda: run_load(place.effects, place.load_effects, request))
    assert manifest.short_id in place.folder.list_staging()
    return manifest


def list_models(place: Place) -> set[str]:
    return {path.name for path in (place.site / "offline" / "store" / "models").iterdir()}


def find_model(manifest: Manifest) -> str:
    return model_folder(manifest.models[0].digest).name


def test_asking_changes_nothing(place: Place, releases: tuple[Manifest, ...]) -> None:
    before = place.list_files()
    plan = plan_prune(place.effects, place.load_effects, 2)
    assert [item.version for item in plan.removed] == [2, 1]
    assert [item.version for item in plan.kept] == [4, 3]
    assert plan.freed_bytes > 40_000
    assert place.list_files() == before
    assert len(place.engine.images) == 4


def test_what_only_old_releases_used_goes_with_them(place: Place, releases: tuple[Manifest, ...]) -> None:
    prune(place, 2)
    assert set(place.folder.list_releases()) == {releases[2].short_id, releases[3].short_id}
    assert list_models(place) == {find_model(releases[2]), find_model(releases[3])}
    assert set(place.engine.images) == {releases[2].images[0].alias, releases[3].images[0].alias}
    assert place.roll_back().is_changed


def test_a_model_that_a_kept_release_shares_stays(place: Place, releases: tuple[Manifest, ...]) -> None:
    prune(place, 3)
    assert place.folder.list_releases() == tuple(sorted(item.short_id for item in releases[1:]))
    assert find_model(releases[0]) in list_models(place)


def test_the_way_back_and_what_runs_stay_however_few_are_asked_for(
    place: Place, releases: tuple[Manifest, ...]
) -> None:
    place.roll_back(releases[0].short_id)
    save_state(
        place.effects.files,
        place.effects.paths,
        SiteState("process", "none", "CPU", "test-stack", title_release(releases[1])),
    )
    assert {item.version for item in prune(place, 1).kept} == {1, 2, 4}
    assert place.roll_back().manifest.version == 4


def test_an_interruption_is_continued(place: Place, releases: tuple[Manifest, ...]) -> None:
    for number in (1, 2, 2):
        with failing_at(number, OfflineFolder, "remove", KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
            prune(place, 2)
        assert place.current == releases[3].short_id
    prune(place, 2)
    assert list_models(place) == {find_model(releases[2]), find_model(releases[3])}
    assert not prune(place, 2).models


def test_models_of_a_load_that_was_interrupted_stay(place: Place, releases: tuple[Manifest, ...]) -> None:
    (place.site / "offline" / "store" / "models" / "0123456789abcdef").mkdir()
    place.folder.open_staging("0123456789ab").close()
    assert "store/models/0123456789abcdef" not in prune(place, 2).models


def test_beside_a_release_that_cannot_be_read_nothing_is_removed(place: Place, releases: tuple[Manifest, ...]) -> None:
    path = place.site / "offline" / "releases" / releases[0].short_id
    (path / "bundle.json").write_text("{")
    assert str(path) in refused(lambda: prune(place, 2))
    assert len(place.folder.list_releases()) == 4


def test_an_interrupted_load_that_may_go_on_stays_until_it_is_named(
    place: Place, releases: tuple[Manifest, ...], disk: Path
) -> None:
    begun = begin(place, disk, 5)
    plan = prune(place, 2)
    assert [item.title for item in plan.begun] == [title_release(begun)]
    assert plan.begun[0].size_bytes > 10_000
    assert begun.short_id in place.folder.list_staging()
    plan = prune(place, 2, interrupted=True)
    assert [item.short_id for item in plan.abandoned] == [begun.short_id]
    assert plan.freed_bytes > 10_000
    assert place.folder.list_staging() == {}


def test_an_interrupted_load_of_an_older_bundle_goes(place: Place, releases: tuple[Manifest, ...], disk: Path) -> None:
    begun = begin(place, disk, 3)
    assert [item.short_id for item in prune(place, 2).abandoned] == [begun.short_id]
    assert place.folder.list_staging() == {}


def test_a_stray_model_goes_beside_an_interrupted_load_that_has_no_use_for_it(
    place: Place, releases: tuple[Manifest, ...], disk: Path
) -> None:
    begun = begin(place, disk, 5)
    models = place.site / "offline" / "store" / "models"
    (models / "0123456789abcdef").mkdir()
    (models / find_model(begun)).mkdir()
    assert "store/models/0123456789abcdef" in prune(place, 2).models
    assert find_model(begun) in list_models(place)


def test_a_package_that_a_kept_release_shares_frees_nothing(place: Place, disk: Path) -> None:
    files = FILES | {"wheels/large.whl": make_bytes("wheel", 1 << 20)}
    for version in (1, 2, 3):
        bundle, _ = build(disk, files=files | {"v": b"%d" % version}, models={}, part_size=1 << 22, version=version)
        place.load(bundle)
    assert plan_prune(place.effects, place.load_effects, 2).freed_bytes < 200_000
