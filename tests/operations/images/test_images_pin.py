"""``images pin`` on a site: what is asked, written and rendered, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from stackctl.core.engine.engines import OFFICIAL_IMAGES
from stackctl.core.stack.names import COMPOSE_FILE, GPU_OVERLAYS
from stackctl.errors import ConfigError, ImageUnavailable, StackError
from stackctl.operations.images.pin import run_pin
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import SITE, World, raised_by, write_env

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
LOCK = SITE / "images.lock"


def answer(digest: str) -> object:
    return lambda names: dict.fromkeys(names, digest)


@pytest.fixture
def world() -> World:
    return World()


def test_every_gpu_s_image_is_rendered_by_its_digest(world: World) -> None:
    result = run_pin(world.effects, answer(ONE), dry_run=False)  # type: ignore[arg-type]
    assert {change.image for change in result.changes} == set(OFFICIAL_IMAGES.values())
    loaded = load_site(world.effects)
    files = render_site(world.effects, loaded).files
    assert f'image: "{OFFICIAL_IMAGES["none"]}@{ONE}"' in files[COMPOSE_FILE]
    for gpu, name in GPU_OVERLAYS.items():
        assert f'image: "{OFFICIAL_IMAGES[gpu.partition("-")[0]]}@{ONE}"' in files[name]  # type: ignore[index]
    assert loaded.warnings == ()


def test_a_dry_run_asks_and_writes_nothing(world: World) -> None:
    before = dict(world.files)
    assert run_pin(world.effects, answer(ONE), dry_run=True).is_changed  # type: ignore[arg-type]
    assert world.files == before


def test_pinning_again_takes_what_the_tags_name_now(world: World) -> None:
    run_pin(world.effects, answer(ONE), dry_run=False)  # type: ignore[arg-type]
    text = world.files[LOCK]
    assert not run_pin(world.effects, answer(ONE), dry_run=False).is_changed  # type: ignore[arg-type]
    assert world.files[LOCK] == text
    world.files[SITE / ".env"] = write_env(INFERENCE_IMAGE="r.example/llama:2")
    assert "does not pin r.example/llama:2" in load_site(world.effects).warnings[0].message
    changes = run_pin(world.effects, answer(TWO), dry_run=False).changes  # type: ignore[arg-type]
    assert {change.status for change in changes} == {"pinned", "removed"}
    assert world.files[LOCK].splitlines()[1:] == [f"r.example/llama:2@{TWO}"]


def test_one_image_that_no_registry_gives_leaves_everything_as_it_was(world: World) -> None:
    run_pin(world.effects, answer(ONE), dry_run=False)  # type: ignore[arg-type]
    before, absent = dict(world.files), OFFICIAL_IMAGES["amd"]

    def find(names: Sequence[str]) -> Mapping[str, str | StackError]:
        refused = ImageUnavailable(f"The registry does not have it: {absent}.", "check the name and the tag")
        return {name: refused if name == absent else TWO for name in names}

    error = raised_by(lambda: run_pin(world.effects, find, dry_run=False))
    assert isinstance(error, ImageUnavailable)
    assert [finding.subject for finding in error.findings] == [absent]
    assert error.hint == "check the name and the tag"
    assert world.files == before


def test_where_nothing_comes_from_a_registry_there_is_nothing_to_pin(world: World) -> None:
    world.files[SITE / ".env"] = write_env(INFERENCE_IMAGE=f"r.example/llama@{ONE}")
    error = raised_by(lambda: run_pin(world.effects, answer(ONE), dry_run=False))  # type: ignore[arg-type]
    assert isinstance(error, ConfigError)
    assert "built here or named by digest" in error.message
    assert LOCK not in world.files


def test_a_lock_that_cannot_be_read_is_named_with_its_line(world: World) -> None:
    world.files[LOCK] = "# mine\nllama:1\n"
    error = raised_by(lambda: load_site(world.effects))
    assert isinstance(error, ConfigError)
    assert f"{LOCK}:2: images.lock: 'llama:1' was seen" in str(error)
