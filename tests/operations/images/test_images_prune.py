"""``images prune``: what was built here and nothing needs goes, everything else stays."""

from __future__ import annotations

from pathlib import Path

from stackctl.core.images.prune import EngineImage, PruneItem
from stackctl.core.stack.names import COMPOSE_FILE
from stackctl.operations.images.prune import plan_prune, run_prune
from stackctl.operations.site.load import load_site
from tests.fakes import World

OLD, USED, THEIRS, TWICE = (f"stackctl.invalid/api-gateway:{name}" for name in ("old", "used", "theirs", "twice"))
A_TAG, B_TAG = "stackctl.invalid/api-gateway:a", "stackctl.invalid/api-gateway:b"
FOREIGN = "house/api-gateway:old"


class FakeStore:
    """Images of an engine in which a container is made of one while it is looked at."""

    def __init__(self, *images: EngineImage) -> None:
        self.images = images
        self.busy: set[str] = set()
        self.removed: list[str] = []

    def list_images(self) -> tuple[EngineImage, ...]:
        return self.images

    def remove(self, name: str) -> bool:
        if name in self.busy:
            return False
        self.removed.append(name)
        return True


def test_only_what_was_built_here_and_nothing_needs_goes() -> None:
    world, other = World(), Path("/other")
    own = load_site(world.effects).images.gateway
    world.files[other / ".stack" / "rendered" / COMPOSE_FILE] = f'services: {{a: {{image: "{THEIRS}"}}}}'
    store = FakeStore(
        EngineImage((OLD,), 7, has_container=False),
        EngineImage((USED,), 7, has_container=True),
        EngineImage((THEIRS,), 7, has_container=False),
        EngineImage((own,), 7, has_container=False),
        EngineImage((TWICE, FOREIGN), 7, has_container=False),
        EngineImage((B_TAG, A_TAG), 7, has_container=False),
        EngineImage(("packed.invalid/api-gateway:1",), 7, has_container=False),
        EngineImage((), 7, has_container=False),
    )
    items = plan_prune(world.effects, store, [other])
    assert {item.image: (item.frees_bytes, item.kept) for item in items} == {
        OLD: (7, ""),
        USED: (0, "a container uses it"),
        THEIRS: (0, "a site names it"),
        own: (0, "a site names it"),
        TWICE: (0, ""),
        A_TAG: (0, ""),
        B_TAG: (7, ""),
    }
    assert store.removed == []
    assert [item.image for item in run_prune(store, items)] == store.removed == [A_TAG, B_TAG, OLD, TWICE]


def test_an_image_that_is_used_by_now_is_not_told_as_removed() -> None:
    store = FakeStore()
    store.busy = {OLD}
    assert run_prune(store, [PruneItem(OLD, 7, "")]) == ()
