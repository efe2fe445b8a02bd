"""Images of bundles in real engines with empty stores: sent, left out, taken out again, lost and found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.docker.image_loader import ImageLoader
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.errors import StackError
from tests.bundle_builder import ImageBytes, build_bundle, make_bytes
from tests.docker.airgap import AirgappedEngine
from tests.fakes import raised_by
from tests.loading import Place, damage

pytestmark = pytest.mark.docker

BASE = [{"base": make_bytes("base", 300_000)}, {"middle": make_bytes("middle", 200_000)}]
ENGINE = ImageBytes("inference", [{"engine": b"engine"}], has_index=False)


class RealPlace(Place):
    """A site whose engine is a real one."""

    @property
    def load_effects(self) -> Any:
        return replace(super().load_effects, connect_engine=lambda: ImageLoader(self.folder.find_disk))


@pytest.fixture
def place(engine: AirgappedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealPlace:
    """A site on the engine's machine."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    return RealPlace(tmp_path)


def build(folder: Path, name: str, layers: list[dict[str, bytes]], **changes: Any) -> tuple[Path, Manifest]:
    images = [ImageBytes("api-gateway", layers), ENGINE]
    given: dict[str, Any] = {"files": {"config/stack.yml": b""}, "part_size": 4 << 20} | changes
    manifest = build_bundle(folder / "disk", images=images, name=name, **given)
    return folder / "disk" / manifest.folder, manifest


def list_aliases(engine: AirgappedEngine, name: str) -> set[str]:
    client = engine.connect()
    try:
        return {tag for image in client.images.list() for tag in image.tags if tag.startswith(f"{name}.invalid/")}
    finally:
        client.close()


def list_all(*manifests: Manifest) -> set[str]:
    return {image.alias for manifest in manifests for image in manifest.images}


def test_images_are_sent_once_and_keep_their_identity(place: RealPlace, engine: AirgappedEngine) -> None:
    bundle, manifest = build(place.site.parent, "once", [*BASE, {"app": b"1"}])
    assert set(place.load(bundle).images) == list_all(manifest)
    assert list_aliases(engine, "once") == list_all(manifest)
    assert place.load(bundle).status == "already current"


@pytest.mark.parametrize("new_first", [False, True], ids=["on the same layers", "below the same layers"])
def test_a_delta_brings_the_layers_that_are_new(place: RealPlace, engine: AirgappedEngine, new_first: bool) -> None:
    name = f"delta-{int(new_first)}"
    first, base = build(place.site.parent, name, [*BASE, {"app": name.encode()}])
    place.load(first)
    layers = [{"new": b"2"}, *BASE] if new_first else [*BASE, {"app": b"2"}]
    delta, manifest = build(place.site.parent, name, layers, base=base, version=2)
    assert sum(member.size for member in find_members(manifest).values()) < 10_000
    result = place.load(delta)
    assert result.images == tuple(sorted(list_all(manifest) - list_all(base)))
    assert list_aliases(engine, name) == list_all(base, manifest)
    assert place.folder.list_staging() == {}
    assert place.roll_back().manifest.id == base.id


def test_what_was_removed_from_the_engine_is_missed(place: RealPlace, engine: AirgappedEngine) -> None:
    first, base = build(place.site.parent, "missed", [{"only": b"here"}])
    place.load(first)
    second, manifest = build(place.site.parent, "missed", [{"only": b"there"}], version=2)
    place.load(second)
    client = engine.connect()
    (gone,) = list_all(base) - list_all(manifest)
    client.images.remove(gone)
    client.close()
    assert f"{gone}: the engine does not have" in str(raised_by(place.roll_back))
    assert place.load(first, downgrade=True).images == (gone,)


def test_a_bad_layer_reaches_nobody(place: RealPlace, engine: AirgappedEngine) -> None:
    bundle, manifest = build(place.site.parent, "bad", [{"one": b"bad one"}, {"two": make_bytes("bad two", 100_000)}])
    member = find_members(manifest)[manifest.images[0].layers[1].digest.removeprefix("sha256:")]
    damage(bundle / f"part-{member.part:04d}.tar", member.offset + member.size // 2)
    error = raised_by(lambda: place.load(bundle))
    assert isinstance(error, StackError)
    assert "layer 2 of 2" in str(error)
    assert error.exit_code == 7
    assert list_aliases(engine, "bad") == set()
    assert place.current == ""
