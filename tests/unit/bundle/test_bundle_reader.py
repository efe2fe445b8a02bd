"""Reading parts: exactly the manifest's bytes come out, everything else is named by file and offset."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.adapters.bundle.parts_check import hash_chunks, hash_part, hash_parts, locate_damage
from stackctl.adapters.bundle.parts_reader import PIECE_BYTES, open_bundles, read_blob, read_members
from stackctl.adapters.files.untrusted_files import read_whole
from stackctl.core.bundle.format.layout import BLOCK
from stackctl.core.bundle.format.manifest import Manifest, Member
from stackctl.core.bundle.format.members import describe_owners, list_members
from stackctl.errors import BundleError
from tests.bundle_builder import ImageBytes, build_bundle, make_bytes
from tests.bundle_damage import flip_byte

MODEL = make_bytes("model", 90_000)


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, Manifest]:
    manifest = build_bundle(
        tmp_path,
        files={"config/stack.yml": b"models: {}\n", "empty": b""},
        models={"chat": MODEL},
        images=[ImageBytes("api-gateway", [{"bin/run": b"1"}, {"etc/x": b"2"}])],
        bootstrap={"install.sh": b"#!/bin/sh\n"},
    )
    return tmp_path / manifest.folder, manifest


def _read(path: Path, members: tuple[Member, ...]) -> dict[str, bytes]:
    return {member.sha256: b"".join(data) for member, data in read_members(path, members)}


def test_every_member_comes_out_as_it_was_packed(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    content: dict[str, bytes] = {}
    for number, part in enumerate(manifest.parts, 1):
        content |= _read(folder / part.name, list_members(manifest, number))
    assert all(hashlib.sha256(data).hexdigest() == sha256 for sha256, data in content.items())
    assert b"".join(content[chunk] for chunk in manifest.models[0].files[0].chunks) == MODEL
    assert content.keys() >= {item.sha256 for item in manifest.blobs}


def test_reading_goes_on_from_any_member(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    members = list_members(manifest, 1)
    whole = _read(folder / "part-0001.tar", members)
    for start in range(len(members)):
        assert _read(folder / "part-0001.tar", members[start:]) == {m.sha256: whole[m.sha256] for m in members[start:]}


def test_what_a_caller_leaves_is_checked_all_the_same(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    member = next(member for member in list_members(manifest, 1) if member.size > 10_000)
    flip_byte(folder / "part-0001.tar", member.offset + member.size - 1)
    with pytest.raises(BundleError, match=member.sha256):
        [next(data, b"") for _, data in read_members(folder / "part-0001.tar", list_members(manifest, 1))]


def test_one_blob_is_read_from_anywhere(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    for member in manifest.blobs:
        path = folder / manifest.parts[member.part - 1].name
        whole = b"".join(read_blob(path, member))
        assert hashlib.sha256(whole).hexdigest() == member.sha256
        assert b"".join(read_blob(path, member, member.size // 2)) == whole[member.size // 2 :]
    with pytest.raises(ValueError, match="outside"):
        next(read_blob(path, member, member.size + 1))


def test_an_altered_blob_is_refused_at_its_end(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    member = max(manifest.blobs, key=lambda blob: blob.size)
    path = folder / manifest.parts[member.part - 1].name
    flip_byte(path, member.offset)
    with pytest.raises(BundleError, match=rf"{path.name} .* at offset {member.offset}"):
        list(read_blob(path, member))


@given(data=st.data())
@settings(max_examples=150)
def test_no_altered_byte_of_a_part_is_passed_on_as_good(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("b")
    manifest = build_bundle(folder, files={"a": b"1" * 700, "b": b""}, models={"m": b"2" * 2000}, chunk_bytes=900)
    path, (part,) = folder / manifest.folder / "part-0001.tar", manifest.parts
    position = data.draw(st.integers(0, part.size - 1))
    flip_byte(path, position)
    with pytest.raises(BundleError, match=r"part-0001\.tar"):
        _read(path, list_members(manifest, 1))
    findings = locate_damage(path, manifest, 1)
    assert len(findings) == 1
    offset = int(findings[0].message.split()[2].rstrip(","))
    assert offset - BLOCK <= position < offset + 2000 + BLOCK


# Naming the damage


def test_a_part_that_is_right_has_no_damage(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    for number, part in enumerate(manifest.parts, 1):
        assert locate_damage(folder / part.name, manifest, number) == []


def test_each_damaged_blob_is_named_with_what_it_belongs_to(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    chunk = manifest.models[0].files[0].chunks[1]
    layer = manifest.images[0].layers[1].digest.removeprefix("sha256:")
    config = manifest.files[0].sha256
    for member in manifest.blobs:
        if member.sha256 in {chunk, layer, config}:
            flip_byte(folder / manifest.parts[member.part - 1].name, member.offset)
    found = [f for n, part in enumerate(manifest.parts, 1) for f in locate_damage(folder / part.name, manifest, n)]
    text = "\n".join(finding.render_text() for finding in found)
    assert len(found) == 3
    assert "model file chat.gguf, its bytes 16384 to 32767" in text
    assert "image registry.example/api-gateway:1.0, layer 2 of 2" in text
    assert "file config/stack.yml" in text


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1], "the end of the archive is missing"),
        (lambda data: data[:5000], "the file ends at byte 5000"),
        (lambda data: b"", "the file ends at byte 0"),
        (lambda data: data + b"\0", "1 bytes follow the end"),
        (lambda data: b"\0" + data, "the header of oci-layout is altered"),
        (lambda data: data[:600] + b"\1" + data[601:], "the padding after oci-layout is altered"),
        (lambda data: data[:-5] + b"\1" + data[-4:], "the end of the archive is altered"),
    ],
)
def test_damage_around_the_data_is_named_too(
    bundle: tuple[Path, Manifest], damage: Callable[[bytes], bytes], words: str
) -> None:
    folder, manifest = bundle
    path = folder / "part-0001.tar"
    path.write_bytes(damage(path.read_bytes()))
    found = locate_damage(path, manifest, 1)
    assert any(words in finding.message for finding in found)
    assert {finding.subject for finding in found} == {"part-0001.tar"}
    with pytest.raises(BundleError):
        _read(path, list_members(manifest, 1))


def test_a_part_of_something_else_is_said_in_one_line(bundle: tuple[Path, Manifest]) -> None:
    folder, manifest = bundle
    (finding,) = locate_damage(folder / "part-0002.tar", manifest, 1)
    assert "it is another part" in finding.message


def test_content_that_stands_at_several_places_names_all_its_owners(tmp_path: Path) -> None:
    manifest = build_bundle(tmp_path, files={"a": b"same", "b": b"same"}, models={"chat": b"same"})
    sha256 = manifest.files[0].sha256
    assert describe_owners(manifest, [sha256]) == {
        sha256: ("model file chat.gguf, its bytes 0 to 3", "file a", "file b")
    }


# Hashing


def test_digests_are_those_of_the_whole_files_with_every_byte_counted(tmp_path: Path) -> None:
    contents = [b"", b"a", make_bytes("x", 300_000), make_bytes("y", 262_144)]
    jobs = []
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
        jobs.append((tmp_path / str(number), len(content)))
    counted: list[int] = []
    expected = tuple(hashlib.sha256(content).hexdigest() for content in contents)
    assert tuple(hash_parts(jobs, counted.append)) == expected
    assert sum(counted) == sum(map(len, contents))
    assert [hash_part(*job, counted.append) for job in jobs] == list(expected)


def test_chunks_of_a_file_are_hashed_each(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(MODEL)
    sizes = [10, 0, 50_000, len(MODEL) - 50_010]
    seen = list(hash_chunks(tmp_path / "m", sizes, lambda size: None))
    assert seen == [
        hashlib.sha256(MODEL[a:b]).hexdigest() for a, b in ((0, 10), (10, 10), (10, 50_010), (50_010, None))
    ]


def test_one_unreadable_file_keeps_no_other_from_being_hashed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "short").write_bytes(b"a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    names = ["missing", "short", "pipe", "link", "a", "."]
    seen = tuple(hash_parts([(tmp_path / name, 1 + (name == "short")) for name in names], lambda size: None))
    texts = [item.message if isinstance(item, BundleError) else item for item in seen]
    assert "missing" in texts[0]
    assert "has 1 bytes; expected are 2" in texts[1]
    assert "expected a regular file" in texts[2]
    assert "is a link" in texts[3]
    assert texts[4] == hashlib.sha256(b"a").hexdigest()
    assert "is a folder" in texts[5]


def test_a_disk_that_fails_is_named_with_what_to_do(tmp_path: Path) -> None:
    """A process's own memory is a regular file that the kernel refuses to read at 0: an input/output error."""
    memory = Path("/proc/self/mem")
    if not memory.is_file():
        pytest.skip("no /proc/self/mem here")
    with pytest.raises(BundleError) as refused:
        read_whole(memory, 10)
    assert str(memory) in refused.value.message
    assert "disk" in refused.value.hint


def test_reading_a_large_member_takes_little_memory(tmp_path: Path) -> None:
    manifest = build_bundle(
        tmp_path, models={"m": bytes(24 << 20)}, part_size=32 << 20, chunk_bytes=24 << 20, bootstrap={}
    )
    path = tmp_path / manifest.folder / "part-0001.tar"
    tracemalloc.start()
    try:
        total = sum(len(piece) for _, data in read_members(path, list_members(manifest, 1)) for piece in data)
        assert total > 24 << 20
        assert tracemalloc.get_traced_memory()[1] < 6 * PIECE_BYTES
    finally:
        tracemalloc.stop()


# Finding bundles


def test_a_bundle_is_found_by_its_folder_its_manifest_or_the_folder_around_it(tmp_path: Path) -> None:
    one = build_bundle(tmp_path, files={"a": b"1"})
    two = build_bundle(tmp_path, files={"a": b"2"}, version=2)
    folder = tmp_path / one.folder
    for paths in ([folder], [folder / "bundle.json"], [folder, folder / "bundle.json"]):
        (opened,) = open_bundles(paths)
        assert opened.folder == folder
        assert opened.parts == {"part-0001.tar": (folder / "part-0001.tar",)}
    assert {opened.folder.name for opened in open_bundles([tmp_path])} == {one.folder, two.folder}


def test_parts_are_found_on_several_disks(tmp_path: Path, bundle: tuple[Path, Manifest]) -> None:
    folder, _ = bundle
    (tmp_path / "disk1").mkdir()
    (tmp_path / "disk2" / folder.name).mkdir(parents=True)
    (folder / "part-0001.tar").rename(tmp_path / "disk1" / "part-0001.tar")
    (folder / "part-0002.tar").rename(tmp_path / "disk2" / folder.name / "part-0002.tar")
    (opened,) = open_bundles([folder], [tmp_path / "disk1", tmp_path / "disk2", tmp_path / "absent"])
    assert opened.parts == {
        "part-0001.tar": (tmp_path / "disk1" / "part-0001.tar",),
        "part-0002.tar": (tmp_path / "disk2" / folder.name / "part-0002.tar",),
    }


def test_every_path_that_is_no_bundle_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "huge").mkdir()
    with (tmp_path / "huge" / "bundle.json").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "bundle.json").symlink_to(tmp_path / "huge" / "bundle.json")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "bundle.json")
    names = ["empty", "huge", "linked", "pipe", "missing"]
    with pytest.raises(BundleError) as refused:
        open_bundles([tmp_path / name for name in names])
    assert [Path(finding.subject).name for finding in refused.value.findings] == names
    for finding, words in zip(
        refused.value.findings,
        ["is no bundle", "at most", "is a link", "expected a regular file", "is missing"],
        strict=True,
    ):
        assert words in finding.message
