"""Where a bundle's images are looked for, and what is remembered of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.adapters.docker import image_sources
from stackctl.adapters.docker.image_sources import ImageSources
from stackctl.core.images.oci import Platform
from stackctl.errors import BundleError, ImageUnavailable
from tests.fake_registry import FakeRegistry, open_fake_registry
from tests.image_documents import digest


@pytest.fixture(autouse=True)
def empty_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that has no image."""

    def inspect(client: object, reference: str) -> dict[str, object]:
        raise ImageUnavailable(reference)

    monkeypatch.setattr(image_sources, "connect_engine", lambda timeout_s: object())
    monkeypatch.setattr(image_sources, "inspect_image", inspect)


def make_sources(cache: Path, architecture: str = "amd64") -> ImageSources:
    return ImageSources(cache, Platform("linux", architecture), lambda line: None, lambda text: None)


def test_an_image_pinned_by_digest_is_asked_for_once(tmp_path: Path) -> None:
    with open_fake_registry(FakeRegistry(b"layer")) as served:
        reference = f"{served.reference}:tag@{digest(served.index)}"
        first = make_sources(tmp_path).resolve(reference, False)
        asked = len(served.asked)
        assert make_sources(tmp_path).resolve(reference, False) == first
        assert len(served.asked) == asked


def test_what_is_remembered_for_one_kind_of_machine_is_not_packed_on_another(tmp_path: Path) -> None:
    """A home that several machines share has one cache for all of them."""
    with open_fake_registry(FakeRegistry(b"layer")) as served:
        reference = f"{served.reference}@{digest(served.index)}"
        make_sources(tmp_path).resolve(reference, False)
        with pytest.raises(BundleError, match="no image for linux/arm64"):
            make_sources(tmp_path, "arm64").resolve(reference, False)


def test_an_image_that_is_built_here_is_asked_of_no_registry(tmp_path: Path) -> None:
    with open_fake_registry(FakeRegistry(b"layer")) as served:
        with pytest.raises(BundleError, match="built on this machine, and was not yet"):
            make_sources(tmp_path).resolve(served.reference, True)
        assert served.asked == []
