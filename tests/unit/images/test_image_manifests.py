"""Manifests and configurations of images: read, and refused in words when they are hostile."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.images.oci import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageBlob,
    render_manifest,
)
from stackctl.core.images.oci_documents import (
    MAX_DOCUMENT_BYTES,
    build_facts,
    find_config_path,
    find_document_type,
    parse_config,
    parse_index,
    parse_manifest,
)
from stackctl.errors import BundleError
from tests.image_documents import describe, digest, encode, make_config, make_manifest

HEX = "0123456789abcdef" * 4


def test_facts_follow_from_the_documents() -> None:
    layers = (b"one", b"two", b"one")
    config = make_config(*layers)
    manifest = make_manifest(config, *layers)
    blob = ImageBlob(digest(manifest), len(manifest), OCI_MANIFEST)
    index = ImageBlob(digest(b"index"), 5, OCI_INDEX)
    facts = build_facts("x", "registry", index, blob, {digest(manifest): manifest, digest(config): config})
    assert facts.diff_ids == tuple(digest(layer) for layer in layers)
    assert (facts.os, facts.architecture, facts.variant, facts.source) == ("linux", "amd64", "", "registry")
    assert [item.digest for item in facts.blobs] == [
        index.digest,
        blob.digest,
        digest(config),
        digest(b"one"),
        digest(b"two"),
    ]


def test_the_manifest_that_is_made_reads_back() -> None:
    config, layers = ImageBlob(digest(b"c"), 1, OCI_CONFIG), (ImageBlob(digest(b"l"), 1, OCI_LAYER),)
    assert parse_manifest(render_manifest(config, layers), "x") == (config, layers)


def test_layers_and_diff_ids_must_agree() -> None:
    config = make_config(b"one")
    manifest = make_manifest(config, b"one", b"two")
    blob = ImageBlob(digest(manifest), len(manifest), OCI_MANIFEST)
    with pytest.raises(BundleError, match="2 layers and 1 diff ids"):
        build_facts("x", "registry", None, blob, {digest(manifest): manifest, digest(config): config})


HELM = "application/vnd.cncf.helm.config.v1+json"
GOOD_LAYER = describe(b"layer", OCI_LAYER)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    ],
)
def test_layers_are_taken_in_every_form_that_builders_write(media_type: str) -> None:
    layer = describe(b"layer", media_type)
    _, layers = parse_manifest(make_manifest(make_config(b"layer"), layers=[layer]), "x")
    assert [item.media_type for item in layers] == [media_type]


@pytest.mark.parametrize(
    ("layer", "seen"),
    [
        ({**GOOD_LAYER, "size": 1.0}, "its size is 1.0"),
        ({**GOOD_LAYER, "size": True}, "its size is True"),
        ({**GOOD_LAYER, "size": -1}, "its size is -1"),
        ({**GOOD_LAYER, "size": 1 << 60}, "its size is 1152921504606846976"),
        ({**GOOD_LAYER, "size": "5"}, "its size is 5"),
        ({**GOOD_LAYER, "digest": f"sha512:{HEX}{HEX}"}, "its digest is 'sha512:"),
        ({**GOOD_LAYER, "digest": "sha256:../../etc/passwd"}, "its digest is"),
        ({**GOOD_LAYER, "digest": 5}, "its digest is '5'"),
        ({**GOOD_LAYER, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar"}, "cannot travel"),
        ({**GOOD_LAYER, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}, "cannot travel"),
        ({**GOOD_LAYER, "urls": ["https://elsewhere.example/layer"]}, "cannot travel"),
        ({**GOOD_LAYER, "mediaType": "application/json"}, "expected a file system layer"),
        ("text", "not a descriptor"),
    ],
)
def test_a_layer_that_cannot_be_carried_is_named(layer: object, seen: str) -> None:
    with pytest.raises(BundleError, match=seen) as caught:
        parse_manifest(make_manifest(make_config(), layers=[GOOD_LAYER, layer]), "registry.example/a:1")
    assert "registry.example/a:1, layer 2" in caught.value.message


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"{", "not usable JSON"),
        (b"\xff", "not usable JSON"),
        (b'{"config": 1, "config": 2}', "stands twice"),
        (b"[" * 100_000, "not usable JSON"),
        (b'{"size": ' + b"9" * 5000 + b"}", "not usable JSON"),
        (b" " * (MAX_DOCUMENT_BYTES + 1), "at most"),
        (b"{}", "not a descriptor"),
        (make_manifest(make_config(), layers=[GOOD_LAYER] * 513), "513 layers"),
        (make_manifest(make_config(), layers={}), "no list of layers"),
        (make_manifest(make_config(), artifactType="application/vnd.cncf.model"), "not a container image"),
        (make_manifest(make_config(), config=describe(b"", HELM)), "helm"),
    ],
)
def test_what_is_no_image_manifest_is_refused(data: bytes, seen: str) -> None:
    with pytest.raises(BundleError, match=seen):
        parse_manifest(data, "x")


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (encode({"os": "linux", "architecture": "amd64"}), "no rootfs"),
        (make_config(os=""), "operating system"),
        (make_config(architecture=7), "architecture"),
        (make_config(rootfs={"type": "layers", "diff_ids": ["sha256:1"]}), "diff id"),
        (make_config(rootfs={"type": "layers", "diff_ids": "x"}), "no list of diff_ids"),
    ],
)
def test_what_is_no_configuration_is_refused(data: bytes, seen: str) -> None:
    with pytest.raises(BundleError, match=seen):
        parse_config(data, "x")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(digest(b"x")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["mediaType", "config", "layers", "manifests", "digest", "size", "platform", "rootfs", "annotations", "os", "urls"]
)


@given(st.dictionaries(keys, json_values | st.dictionaries(keys, json_values) | st.lists(st.just(GOOD_LAYER))))
def test_hostile_documents_are_read_or_refused(tree: dict[str, Any]) -> None:
    data = encode(tree)
    for parse in (parse_index, parse_manifest, parse_config, find_config_path):
        with suppress(BundleError):
            parse(data, "x")
    with suppress(BundleError):
        find_document_type(data, OCI_INDEX, "x")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (parse_index, parse_manifest, parse_config, find_config_path):
        with suppress(BundleError):
            parse(data, "x")


def test_docker_media_types_are_images_too() -> None:
    config = {**describe(b"c", DOCKER_CONFIG)}
    layer = describe(b"l", "application/vnd.docker.image.rootfs.diff.tar.gzip")
    blob, layers = parse_manifest(encode({"mediaType": DOCKER_MANIFEST, "config": config, "layers": [layer]}), "x")
    assert (blob.media_type, layers[0].size) == (DOCKER_CONFIG, 1)
