"""The plan of a bundle: the same content gives the same plan in any order, and a delta leaves out what its base has."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.bundle.format.chunks import MAX_CHUNK_BYTES, list_chunks
from stackctl.core.bundle.format.layout import MAX_MEMBER_BYTES, PART_SIZES, Entry, plan_parts
from stackctl.core.bundle.format.manifest import (
    BootstrapFile,
    Manifest,
    ModelFile,
    PackedFile,
    Platform,
    Requirements,
)
from stackctl.core.bundle.format.manifest_reader import check_manifest
from stackctl.core.bundle.pack.plan import (
    Blob,
    Contents,
    Draft,
    InMemory,
    build_draft,
    build_index,
    find_newest_version,
    hash_bytes,
    is_contained,
    is_same_content,
)
from stackctl.errors import BundleError
from tests.bundle_builder import describe_model

MIB = 1024 * 1024


def make_contents(files: dict[str, bytes], chunks: tuple[bytes, ...] = ()) -> Contents:
    blobs = [Blob(hash_bytes(data), len(data), path, InMemory(data)) for path, data in files.items()]
    blobs += [Blob(hash_bytes(data), len(data), f"chunk {n}", InMemory(data)) for n, data in enumerate(chunks)]
    file = ModelFile(
        path="a.gguf",
        size=sum(len(data) for data in chunks),
        sha256=hash_bytes(b"".join(chunks)),
        chunks=tuple(hash_bytes(data) for data in chunks),
    )
    return Contents(
        name="ai-stack",
        platform=Platform(os="linux", architecture="amd64", python=("3.11",)),
        requires=Requirements(stackctl="1", docker="", disk_bytes=0, engine_bytes=0),
        runtimes=("process",),
        images=(),
        models=(describe_model("local-chat", (file,)),) if chunks else (),
        files=tuple(PackedFile(path=path, size=len(data), sha256=hash_bytes(data)) for path, data in files.items()),
        bootstrap=(),
        blobs=tuple(blobs),
    )


def seal(draft: Draft) -> Manifest:
    return draft.seal([hash_bytes(part.name.encode()) for part in draft.parts])


def test_a_sealed_plan_is_a_valid_manifest() -> None:
    manifest = seal(build_draft(make_contents({"config/a": b"1"}, (b"x" * 700_000, b"y" * 700_000)), 1, None, MIB))
    assert list(check_manifest(manifest)) == []
    assert [part.name for part in manifest.parts] == ["part-0001.tar", "part-0002.tar"]


def test_files_and_models_are_sorted_whatever_order_they_come_in() -> None:
    files = {f"config/{n}": bytes([n]) for n in range(9)}
    contents = make_contents(files)
    shuffled = list(contents.files)
    random.Random(1).shuffle(shuffled)
    again = replace(contents, files=tuple(shuffled))
    assert build_draft(contents, 1, None, MIB).body.id == build_draft(again, 1, None, MIB).body.id


def test_content_that_stands_twice_travels_once() -> None:
    draft = build_draft(make_contents({"config/a": b"same", "config/b": b"same"}), 1, None, MIB)
    assert len(draft.body.blobs) == 1
    assert len(draft.body.files) == 2


def test_a_delta_carries_only_what_its_base_lacks() -> None:
    old = seal(build_draft(make_contents({"config/a": b"1"}, (b"head", b"weights")), 1, None, MIB))
    delta = seal(build_draft(make_contents({"config/a": b"2"}, (b"HEAD", b"weights")), 2, old, MIB))
    carried = {blob.sha256 for blob in delta.blobs}
    assert carried == {hash_bytes(b"2"), hash_bytes(b"HEAD")}
    assert [item.sha256 for item in delta.inherited] == [hash_bytes(b"weights")]
    assert list(check_manifest(delta)) == []


def test_a_delta_of_a_delta_knows_all_that_the_site_has() -> None:
    first = seal(build_draft(make_contents({"config/a": b"1"}, (b"head", b"weights")), 1, None, MIB))
    second = seal(build_draft(make_contents({"config/a": b"2"}, (b"head", b"weights")), 2, first, MIB))
    third = build_draft(make_contents({"config/a": b"3"}, (b"head", b"weights")), 3, second, MIB)
    assert {blob.sha256 for blob in third.body.blobs} == {hash_bytes(b"3")}


def test_a_delta_brings_the_bootstrap_again_only_when_it_changed() -> None:
    def pack(script: bytes, setting: bytes, version: int, base: Manifest | None) -> Manifest:
        file = BootstrapFile(path="install.sh", size=len(script), sha256=hash_bytes(script), executable=True)
        contents = make_contents({"config/a": setting})
        return seal(build_draft(replace(contents, bootstrap=((file, InMemory(script)),)), version, base, MIB))

    first = pack(b"old", b"1", 1, None)
    second = pack(b"old", b"2", 2, first)
    third = pack(b"old", b"3", 3, second)
    fourth = pack(b"new", b"4", 4, third)
    assert [len(manifest.bootstrap) for manifest in (first, second, third, fourth)] == [1, 0, 0, 1]


def test_what_does_not_fit_a_part_is_named() -> None:
    with pytest.raises(BundleError) as caught:
        build_draft(make_contents({"config/big": bytes(2 * MIB), "config/small": b"1"}), 1, None, MIB)
    assert [finding.subject for finding in caught.value.findings] == ["config/big"]
    assert caught.value.hint == "give a larger --part-size"


def test_no_part_size_helps_a_layer_beyond_what_ustar_holds() -> None:
    with pytest.raises(BundleError, match=f"hold files up to {MAX_MEMBER_BYTES} bytes") as caught:
        plan_parts([Entry("blobs/sha256/a", 12 * 1024**3, "image x, layer")], PART_SIZES["bd"])
    assert caught.value.hint == "build the image with smaller layers"


def test_the_same_content_is_known_again_whatever_its_version() -> None:
    contents = make_contents({"config/a": b"1"})
    packed = seal(build_draft(contents, 7, None, MIB))
    assert is_same_content(build_draft(contents, 1, None, MIB), packed)
    assert not is_same_content(build_draft(make_contents({"config/a": b"2"}), 1, None, MIB), packed)


def test_the_newest_version_is_that_of_the_same_stack() -> None:
    packed = [seal(build_draft(make_contents({"config/a": b"1"}), version, None, MIB)) for version in (2, 7, 3)]
    assert find_newest_version("ai-stack", packed) == 7
    assert find_newest_version("another", packed) == 0


def test_a_base_that_has_everything_is_known() -> None:
    base = seal(build_draft(make_contents({"config/a": b"1"}), 1, None, MIB))
    assert is_contained(build_draft(make_contents({"config/a": b"1"}), 2, base, 2 * MIB), base)
    assert not is_contained(build_draft(make_contents({"config/a": b"2"}), 2, base, MIB), base)


def test_the_index_names_no_image_where_there_is_none() -> None:
    assert json.loads(build_index(()))["manifests"] == []


@given(st.integers(0, 4 * MAX_CHUNK_BYTES), st.lists(st.integers(-5, 5 * MAX_CHUNK_BYTES), max_size=20))
def test_chunks_cover_a_file_without_gaps_and_begin_at_every_cut(size: int, cuts: list[int]) -> None:
    chunks = list_chunks(size, cuts)
    position = 0
    for offset, length in chunks:
        assert offset == position
        assert 0 < length <= MAX_CHUNK_BYTES
        position += length
    assert position == size
    assert {cut for cut in cuts if 0 < cut < size} <= {offset for offset, _ in chunks}
