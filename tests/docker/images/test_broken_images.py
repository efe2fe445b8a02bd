"""Images that are not what they should be, and loads that break off: never taken for loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from docker import DockerClient

from stackctl.adapters.docker.image_store import (
    check_identity,
    load_images,
    remove_alias,
    tag_image,
)
from stackctl.errors import BundleError, RuntimeFailure
from tests.docker.images.sources import Source

pytestmark = pytest.mark.docker


def test_a_layer_of_other_bytes_is_never_taken_for_a_loaded_image(site: DockerClient, base: Source) -> None:
    def open_blob(digest: str) -> list[bytes]:
        data = bytearray(b"".join(base.open_blob(digest)))
        data[len(data) // 2] ^= 255
        return [bytes(data)]

    # The containerd store reports it among its progress only.
    with suppress(RuntimeFailure):
        assert "Error unpacking image" in "".join(base.load(site, open_blob=open_blob))
    assert check_identity(site, base.content.facts, base.alias)
    base.load(site)
    assert check_identity(site, base.content.facts, base.alias) == []


def test_a_load_that_breaks_off_leaves_no_image_and_can_be_done_again(site: DockerClient, base: Source) -> None:
    def open_blob(digest: str) -> Iterator[bytes]:
        yield b"x" * 100
        raise BundleError(f"{digest} is damaged")

    with pytest.raises(BundleError, match="is damaged"):
        base.load(site, open_blob=open_blob)
    assert check_identity(site, base.content.facts, base.alias)
    base.load(site)
    assert check_identity(site, base.content.facts, base.alias) == []


def test_an_archive_that_is_none_is_refused(site: DockerClient) -> None:
    with pytest.raises(RuntimeFailure, match="The Docker engine"):
        load_images(site, iter([b"x" * 1_000_000] * 3), lambda _: None)


def test_another_image_under_the_name_is_found(site: DockerClient, base: Source, child: Source) -> None:
    base.load(site)
    child.load(site)
    tag_image(site, child.alias, base.alias)
    findings = check_identity(site, base.content.facts, base.alias)
    assert [finding.message.split()[1] for finding in findings] == ["id", "layers"]
    assert base.content.facts.config.digest in findings[0].message


def test_names_are_given_and_taken_away(site: DockerClient, base: Source) -> None:
    base.load(site)
    other = "stack-test.invalid/other:0123456789ab"
    tag_image(site, base.alias, other)
    assert remove_alias(site, base.alias)
    assert not remove_alias(site, base.alias)
    assert check_identity(site, base.content.facts, other) == []
    container = site.containers.create(other, ["x"])
    assert not remove_alias(site, other)
    container.remove()
    assert remove_alias(site, other)
    assert site.images.list(all=True) == []
