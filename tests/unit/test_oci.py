"""Image names and image documents: read as Docker reads them, and refused in words when they are hostile."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.bundle.image_reference import parse_reference
from stackctl.core.bundle.oci import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageBlob,
    Platform,
    render_manifest,
)
from stackctl.core.bundle.oci_documents import (
    MAX_DOCUMENT_BYTES,
    build_facts,
    choose_platform,
    find_config_path,
    find_document_type,
    parse_config,
    parse_index,
    parse_manifest,
    parse_platform,
)
from stackctl.core.bundle.saved_image import SavedImage, read_containerd_image, read_docker_image
from stackctl.errors import BundleError
from tests.image_documents import describe, describe_entry, digest, encode, make_config, make_index, make_manifest

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
HEX = "0123456789abcdef" * 4


# Names


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("berriai/litellm:v1.0", "docker.io/berriai/litellm:v1.0"),
        ("docker.io/debian", "docker.io/library/debian:latest"),
        ("index.docker.io/debian", "docker.io/library/debian:latest"),
        ("ghcr.io/ggml-org/llama.cpp:server", "ghcr.io/ggml-org/llama.cpp:server"),
        ("localhost/x", "localhost/x:latest"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("Registry/a", "Registry/a:latest"),
        (f"debian@sha256:{HEX}", f"docker.io/library/debian@sha256:{HEX}"),
        (f"host.example/a:1@sha256:{HEX}", f"host.example/a:1@sha256:{HEX}"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ],
)
def test_names_mean_what_docker_means(text: str, spelled: str) -> None:
    assert str(parse_reference(text)) == spelled
    assert parse_reference(spelled) == parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "a b",
        "a:",
        "a:tag with space",
        "a//b",
        "/a",
        "a/",
        "host.example/",
        "a@",
        "a@sha256:abc",
        f"a@sha512:{HEX}{HEX}",
        f"a@sha256:{HEX.upper()}",
        f"a@sha256:{HEX}\n",
        "a:1\n",
        "ho_st.example/a",
        "host:port/a",
        "../a",
        "a" * 600,
        "é",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="is not an image name") as caught:
        parse_reference(text)
    assert caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    with suppress(BundleError):
        reference = parse_reference(text)
        assert parse_reference(str(reference)) == reference


def test_platforms_are_read_and_written() -> None:
    assert str(parse_platform("linux/arm64/v8")) == "linux/arm64/v8"
    for text in ("linux", "linux/", "a/b/c/d", ""):
        with pytest.raises(BundleError, match="is not a platform"):
            parse_platform(text)


# Indexes


def test_the_platform_is_chosen_and_attestations_are_passed_over() -> None:
    about = {"vnd.docker.reference.type": "attestation-manifest"}
    data = make_index(
        describe_entry(b"about", "unknown/unknown", annotations=about),
        describe_entry(b"disguised", "linux/amd64", annotations=about),
        describe_entry(b"signature", "linux/amd64", artifactType="application/x-signature"),
        describe_entry(b"nested", "linux/amd64", OCI_INDEX),
        describe_entry(b"arm", "linux/arm64/v8"),
        describe_entry(b"intel", "linux/amd64", DOCKER_MANIFEST),
        describe_entry(b"windows", "windows/amd64"),
    )
    entries = parse_index(data, "x")
    assert choose_platform(entries, AMD64, "x").blob == ImageBlob(digest(b"intel"), 5, DOCKER_MANIFEST)
    assert choose_platform(entries, ARM64, "x").blob.digest == digest(b"arm")
    assert choose_platform(entries, Platform("linux", "arm64", "v8"), "x").blob.digest == digest(b"arm")
    with pytest.raises(BundleError, match=r"no image for linux/s390x; its platforms: linux/amd64, linux/arm64/v8, win"):
        choose_platform(entries, Platform("linux", "s390x"), "x")


def test_a_variant_serves_only_machines_that_have_it() -> None:
    entries = parse_index(
        make_index(describe_entry(b"v9", "linux/arm64/v9"), describe_entry(b"plain", "linux/arm64")), "x"
    )
    assert choose_platform(entries, ARM64, "x").blob.digest == digest(b"plain")
    assert choose_platform(entries, Platform("linux", "arm64", "v9"), "x").blob.digest == digest(b"v9")
    with pytest.raises(BundleError, match="no image for linux/arm64"):
        choose_platform(entries[:1], ARM64, "x")


def test_an_index_without_platforms_says_so() -> None:
    entries = parse_index(make_index(describe(b"x", OCI_MANIFEST)), "x")
    with pytest.raises(BundleError, match="none that is named"):
        choose_platform(entries, AMD64, "x")


# What kind of document it is


def test_the_media_type_is_stated_or_announced() -> None:
    config = make_config()
    assert find_document_type(make_manifest(config), f"{OCI_MANIFEST}", "x") == OCI_MANIFEST
    assert find_document_type(make_index(), "", "x") == OCI_INDEX
    silent = encode({"manifests": []})
    assert find_document_type(silent, f"{DOCKER_INDEX}; charset=utf-8", "x") == DOCKER_INDEX


@pytest.mark.parametrize(
    ("data", "announced", "seen"),
    [
        (make_index(), OCI_MANIFEST, "announced as"),
        (encode({"mediaType": OCI_INDEX, "manifests": [], "layers": []}), "", "at once"),
        (encode({"mediaType": OCI_MANIFEST, "manifests": []}), "", "is not that of"),
        (encode({"schemaVersion": 1, "fsLayers": []}), "application/vnd.docker.distribution.manifest.v1+json", "v1"),
        (encode({}), "", "not given"),
        (encode([]), OCI_INDEX, "not a JSON object"),
    ],
)
def test_a_document_that_could_be_read_as_another_is_refused(data: bytes, announced: str, seen: str) -> None:
    with pytest.raises(BundleError, match=seen):
        find_document_type(data, announced, "x")


# Manifests and configurations


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


# What an engine exports


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


def test_docker_media_types_are_images_too() -> None:
    config = {**describe(b"c", DOCKER_CONFIG)}
    layer = describe(b"l", "application/vnd.docker.image.rootfs.diff.tar.gzip")
    blob, layers = parse_manifest(encode({"mediaType": DOCKER_MANIFEST, "config": config, "layers": [layer]}), "x")
    assert (blob.media_type, layers[0].size) == (DOCKER_CONFIG, 1)
