"""The tar that an engine loads: whole, in bounded pieces, and refused when a blob is not what its image says."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.images.load_tar import CHUNK_BYTES, build_load_tar, list_blobs
from stackctl.core.images.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, ImageBlob, ImageFacts
from stackctl.errors import BundleError
from tests.image_documents import digest

ALIAS = "stack.invalid/gateway:0123456789ab"


def make_image(*layers: bytes, name: str = "image") -> tuple[ImageFacts, dict[str, bytes]]:
    """Facts and all blobs."""
    manifest, config = f"{name} manifest".encode(), f"{name} configuration".encode()
    facts = ImageFacts(
        reference="docker.io/library/debian:12",
        index=ImageBlob(digest(b"index"), 5, OCI_MANIFEST),
        manifest=ImageBlob(digest(manifest), len(manifest), OCI_MANIFEST),
        config=ImageBlob(digest(config), len(config), OCI_CONFIG),
        layers=tuple(ImageBlob(digest(layer), len(layer), OCI_LAYER) for layer in layers),
        diff_ids=tuple(digest(layer) for layer in layers),
        os="linux",
        architecture="amd64",
        variant="",
        source="registry",
    )
    return facts, {digest(data): data for data in (manifest, config, *layers)}


def unpack(chunks: Iterable[bytes]) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            assert member.name not in members
            members[member.name] = file.read()
    return members


def test_both_stores_find_what_they_read() -> None:
    facts, blobs = make_image(b"one", b"two")
    members = unpack(build_load_tar([(facts, ALIAS)], lambda name: [blobs[name]], {}))
    paths = {f"blobs/sha256/{name[7:]}": data for name, data in blobs.items()}
    assert members.keys() == {"oci-layout", "index.json", "manifest.json", *paths}
    assert {name: members[name] for name in paths} == paths
    (listed,) = json.loads(members["manifest.json"])
    assert (listed["RepoTags"], members[listed["Config"]]) == ([ALIAS], b"image configuration")
    assert [members[path] for path in listed["Layers"]] == [b"one", b"two"]
    (descriptor,) = json.loads(members["index.json"])["manifests"]
    assert descriptor["digest"] == facts.manifest.digest
    assert descriptor["annotations"] == {
        "io.containerd.image.name": ALIAS,
        "org.opencontainers.image.ref.name": "0123456789ab",
    }


def test_documents_at_hand_are_not_asked_for() -> None:
    facts, blobs = make_image(b"one")
    asked: list[str] = []

    def open_blob(name: str) -> Iterable[bytes]:
        asked.append(name)
        return [blobs[name]]

    documents = {name: data for name, data in blobs.items() if data != b"one"}
    assert unpack(build_load_tar([(facts, ALIAS)], open_blob, documents))
    assert asked == [digest(b"one")]


def test_a_shared_layer_travels_once_and_a_skipped_one_not_at_all() -> None:
    first, blobs = make_image(b"base", b"one", b"base", name="first")
    second, more = make_image(b"base", b"two", name="second")
    images = [(first, ALIAS), (second, "stack.invalid/engine:0123456789ab")]
    assert [blob.digest for blob in list_blobs(images)][4:] == [digest(b"base"), digest(b"one"), digest(b"two")]
    every = {**blobs, **more}
    members = unpack(build_load_tar(images, lambda name: [every[name]], {}, frozenset({digest(b"base")})))
    assert f"blobs/sha256/{digest(b'base')[7:]}" not in members
    # The engine looks the skipped layer up under the path that is listed.
    assert all(len(item["Layers"]) >= 2 for item in json.loads(members["manifest.json"]))


@pytest.mark.parametrize("data", [b"on", b"one!", b""])
def test_a_blob_of_another_size_ends_the_tar_instead_of_shifting_it(data: bytes) -> None:
    facts, blobs = make_image(b"one")
    wrong = {**blobs, digest(b"one"): data}
    with pytest.raises(BundleError, match=f"{digest(b'one')} does not have the 3 bytes"):
        unpack(build_load_tar([(facts, ALIAS)], lambda name: [wrong[name]], {}))


def test_pieces_are_large_and_are_made_only_when_asked_for() -> None:
    facts, blobs = make_image(bytes(5 * CHUNK_BYTES), b"two")
    opened: list[str] = []

    def open_blob(name: str) -> Iterator[bytes]:
        opened.append(name)
        for start in range(0, len(blobs[name]), 1000):
            yield blobs[name][start : start + 1000]

    chunks = build_load_tar([(facts, ALIAS)], open_blob, {})
    first = next(chunks)
    assert digest(b"two") not in opened
    sizes = [len(first), *map(len, chunks)]
    assert max(sizes) < 2 * CHUNK_BYTES
    assert min(sizes[:-1]) >= CHUNK_BYTES // 2


@given(st.lists(st.binary(max_size=2000), max_size=5), st.integers(1, 700))
def test_any_layers_come_out_as_they_went_in(layers: list[bytes], step: int) -> None:
    facts, blobs = make_image(*layers)

    def open_blob(name: str) -> Iterator[bytes]:
        for start in range(0, len(blobs[name]), step):
            yield blobs[name][start : start + step]

    members = unpack(build_load_tar([(facts, ALIAS)], open_blob, {}))
    for layer in layers:
        assert members[f"blobs/sha256/{digest(layer)[7:]}"] == layer
