"""Images as an engine exports them."""

from __future__ import annotations

import pytest

from stackctl.core.images.oci import OCI_CONFIG, OCI_INDEX, ImageBlob, Platform
from stackctl.core.images.saved_image import SavedImage, read_containerd_image, read_docker_image
from stackctl.errors import BundleError
from tests.image_documents import describe, describe_entry, digest, encode, make_config, make_index, make_manifest

AMD64 = Platform("linux", "amd64")
HEX = "0123456789abcdef" * 4


def make_export(config: bytes, *layers: bytes) -> SavedImage:
    listed = [{"Config": f"blobs/sha256/{digest(config)[7:]}", "RepoTags": ["a:1"]}]
    sizes = {digest(data): len(data) for data in (config, *layers)}
    return SavedImage(sizes, {digest(config): config, "manifest.json": encode(listed)})


def test_an_export_of_the_store_without_manifests_gets_one() -> None:
    config = make_config(b"one", b"two!")
    content = read_docker_image(make_export(config, b"one", b"two!"), "a:1")
    assert [(layer.digest, layer.size) for layer in content.facts.layers] == [(digest(b"one"), 3), (digest(b"two!"), 4)]
    assert content.facts.config == ImageBlob(digest(config), len(config), OCI_CONFIG)
    assert digest(content.documents[content.facts.manifest.digest]) == content.facts.manifest.digest
    assert content.facts.source == "engine"


def test_an_export_with_a_missing_layer_names_it() -> None:
    with pytest.raises(BundleError, match=digest(b"two!")):
        read_docker_image(make_export(make_config(b"one", b"two!"), b"one"), "a:1")


def test_an_export_of_an_old_engine_is_refused() -> None:
    export = SavedImage({}, {"manifest.json": encode([{"Config": f"{HEX}.json", "Layers": ["1/layer.tar"]}])})
    with pytest.raises(BundleError, match="before Docker 25"):
        read_docker_image(export, "a:1")


def make_containerd_export(*platforms: str) -> tuple[SavedImage, bytes]:
    """An export whose index lists linux/amd64 and linux/arm64, of which the engine has those named."""
    files: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    entries = []
    for platform in ("linux/amd64", "linux/arm64"):
        layer = platform.encode()
        config = make_config(layer, architecture=platform[6:])
        manifest = make_manifest(config, layer)
        entries.append(describe_entry(manifest, platform))
        if platform in platforms:
            files |= {digest(config): config, digest(manifest): manifest}
            sizes |= {digest(data): len(data) for data in (config, manifest, layer)}
    index = make_index(*entries)
    files |= {digest(index): index, "index.json": make_index(describe(index, OCI_INDEX))}
    return SavedImage(sizes, files), index


@pytest.mark.parametrize("platforms", [["linux/amd64"], ["linux/arm64"], ["linux/amd64", "linux/arm64"]])
def test_the_containerd_export_keeps_its_index_and_gives_the_platform_that_is_there(platforms: list[str]) -> None:
    saved, index = make_containerd_export(*platforms)
    content = read_containerd_image(saved, "a:1", AMD64)
    assert content.facts.architecture == platforms[0][6:]
    assert content.facts.index == ImageBlob(digest(index), len(index), OCI_INDEX)
    assert content.documents[digest(index)] == index


def test_a_containerd_export_without_any_whole_platform_is_refused() -> None:
    saved, _ = make_containerd_export()
    with pytest.raises(BundleError, match="no image for linux/amd64"):
        read_containerd_image(saved, "a:1", AMD64)
