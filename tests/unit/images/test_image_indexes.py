"""Indexes of images: which platform is chosen, and what kind of document it is."""

from __future__ import annotations

import pytest

from stackctl.core.images.oci import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, ImageBlob, Platform
from stackctl.core.images.oci_documents import choose_platform, find_document_type, parse_index, parse_platform
from stackctl.errors import BundleError
from tests.image_documents import describe, describe_entry, digest, encode, make_config, make_index, make_manifest

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


def test_platforms_are_read_and_written() -> None:
    assert str(parse_platform("linux/arm64/v8")) == "linux/arm64/v8"
    for text in ("linux", "linux/", "a/b/c/d", ""):
        with pytest.raises(BundleError, match="is not a platform"):
            parse_platform(text)


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
