"""Verifying bundles: everything wrong in one run, by name, and nothing on the disk changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.cli.world.reading import build_reader
from stackctl.core.bundle.format.signature import PublicKey
from stackctl.errors import Severity
from stackctl.operations.bundle.check.reading import BundleReader
from stackctl.operations.bundle.check.verify import Verified, verify_bundles
from tests.bundle_builder import OTHER_SECRET, SECRET, make_bytes
from tests.bundle_damage import FILES, MODEL, build_full_bundle, flip_byte, take_snapshot
from tests.fakes import World


@pytest.fixture(scope="module")
def reader() -> BundleReader:
    return build_reader(World().effects)


def _verify(
    reader: BundleReader,
    *paths: Path,
    key: PublicKey | None = SECRET.public,
    extra: Sequence[Path] = (),
    unsigned: bool = False,
    quick: bool = False,
) -> tuple[Verified, ...]:
    return verify_bundles(reader, paths, key, extra_folders=extra, allow_unsigned=unsigned, quick=quick)


def _list_errors(found: Sequence[Verified]) -> list[tuple[str, str]]:
    return [(f.subject, f.message) for item in found for f in item.findings if f.severity is Severity.ERROR]


@pytest.mark.parametrize("quick", [False, True])
def test_a_bundle_and_its_delta_as_they_were_packed_are_right(
    reader: BundleReader, tmp_path: Path, quick: bool
) -> None:
    base = build_full_bundle(tmp_path)
    build_full_bundle(tmp_path, base=base, version=2, files={**FILES, "new": b"1"})
    before = take_snapshot(tmp_path)
    found = _verify(reader, tmp_path, quick=quick)
    assert [item.findings for item in found] == [(), ()]
    assert {item.manifest.version for item in found if item.manifest} == {1, 2}
    assert {item.verdict.signer for item in found if item.verdict} == {SECRET.public.name}
    assert take_snapshot(tmp_path) == before


def test_everything_wrong_is_named_in_one_run(reader: BundleReader, tmp_path: Path) -> None:
    manifest = build_full_bundle(tmp_path, part_size=30_000)
    folder, parts = tmp_path / manifest.folder, [part.name for part in manifest.parts]
    assert len(parts) >= 5
    (folder / parts[0]).unlink()
    _cut(folder / parts[1], 10_000)
    _exchange(folder / parts[2], folder / parts[3])
    flip_byte(folder / parts[4], 600)
    (folder / "bootstrap" / "install.sh").write_bytes(b"#!/bin/ee\n")
    (folder / "bootstrap" / "wheels" / "b.whl").unlink()
    flip_byte(folder / "SHA256SUMS", 0)
    (folder / ".hidden").write_text("x")
    (folder / "bootstrap" / ".hidden").symlink_to("/etc/passwd")
    (folder / "part-0099.tar").write_bytes(b"")
    (folder / "sub").mkdir()
    errors = _list_errors(_verify(reader, folder))
    for subject, words in [
        (parts[0], "is not here yet"),
        (parts[1], "is damaged: has 10000 bytes"),
        (parts[1], "the file ends at byte 10000 (model file chat.gguf"),
        (parts[2], f"is {parts[3]} of {manifest.folder}"),
        (parts[3], f"is {parts[2]} of {manifest.folder}"),
        (parts[4], "is damaged: at offset 512, "),
        ("bootstrap/install.sh", "is altered"),
        ("bootstrap/wheels/b.whl", "is missing"),
        ("SHA256SUMS", "is altered"),
        (".hidden", "a file that does not belong here"),
        ("bootstrap/.hidden", "a link that does not belong here"),
        ("part-0099.tar", "a file that does not belong here"),
        ("sub", "a folder that does not belong here"),
    ]:
        assert any(seen == subject and words in message for seen, message in errors), (subject, words, errors)


def _cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def _exchange(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def test_quick_reads_no_part_and_sees_sizes_only(reader: BundleReader, tmp_path: Path) -> None:
    manifest = build_full_bundle(tmp_path)
    folder = tmp_path / manifest.folder
    flip_byte(folder / "part-0001.tar", 600)
    assert _list_errors(_verify(reader, folder, quick=True)) == []
    _cut(folder / "part-0002.tar", 600)
    assert [subject for subject, _ in _list_errors(_verify(reader, folder, quick=True))] == ["part-0002.tar"]


def test_a_part_of_another_bundle_is_called_by_its_own_name(reader: BundleReader, tmp_path: Path) -> None:
    one, two = (
        build_full_bundle(tmp_path),
        build_full_bundle(tmp_path, models={"chat": make_bytes("other", 90_000)}, version=2),
    )
    shutil.copy(tmp_path / two.folder / "part-0002.tar", tmp_path / one.folder / "part-0002.tar")
    errors = _list_errors(_verify(reader, tmp_path))
    assert ("part-0002.tar", f"is part-0002.tar of {two.folder}") in errors
    (alone,) = _verify(reader, tmp_path / one.folder)
    assert any("it is another part" in message for _, message in _list_errors([alone]))


def test_parts_on_several_disks_are_verified_where_they_are(reader: BundleReader, tmp_path: Path) -> None:
    manifest = build_full_bundle(tmp_path / "bundles")
    folder, disk = tmp_path / "bundles" / manifest.folder, tmp_path / "disk"
    disk.mkdir()
    (folder / "part-0002.tar").rename(disk / "part-0002.tar")
    assert _list_errors(_verify(reader, folder)) == [
        ("part-0002.tar", f"is not here yet ({manifest.parts[1].size} bytes)")
    ]
    assert _list_errors(_verify(reader, folder, extra=[disk])) == []
    flip_byte(disk / "part-0002.tar", 600)
    (finding, *_) = _verify(reader, folder, extra=[disk])[0].findings
    assert (finding.subject, finding.file) == ("part-0002.tar", str(disk))


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_regular_file_is_not_opened(reader: BundleReader, tmp_path: Path, kind: str) -> None:
    manifest = build_full_bundle(tmp_path)
    for name in ("part-0001.tar", "SHA256SUMS", "bootstrap/install.sh"):
        path = tmp_path / manifest.folder / name
        path.rename(tmp_path / path.name)
        make: dict[str, Callable[[], object]] = {
            "pipe": lambda path=path: os.mkfifo(path),  # type: ignore[misc]
            "link": lambda path=path: path.symlink_to(tmp_path / path.name),  # type: ignore[misc]
            "folder": path.mkdir,
        }
        make[kind]()
    errors = _list_errors(_verify(reader, tmp_path / manifest.folder))
    assert sorted(subject for subject, _ in errors) == ["SHA256SUMS", "bootstrap/install.sh", "part-0001.tar"]
    assert all("expected a regular file" in message for _, message in errors)


def test_a_bundle_that_cannot_be_opened_keeps_no_other_from_being_checked(reader: BundleReader, tmp_path: Path) -> None:
    good, bad = build_full_bundle(tmp_path), build_full_bundle(tmp_path, version=2)
    (tmp_path / bad.folder / "bundle.json").unlink()
    (tmp_path / bad.folder / "bundle.json").symlink_to("/etc/passwd")
    found = _verify(reader, tmp_path, tmp_path / good.folder, tmp_path / "missing")
    assert {item.folder.name: item.is_ok for item in found} == {good.folder: True, bad.folder: False, "missing": False}


# Signatures


def test_one_bundle_that_nobody_vouches_for_keeps_no_other_from_being_checked(
    reader: BundleReader, tmp_path: Path
) -> None:
    good = build_full_bundle(tmp_path)
    bad = build_full_bundle(tmp_path, version=2, secret=OTHER_SECRET)
    found = {item.folder.name: item for item in _verify(reader, tmp_path)}
    assert found[good.folder].is_ok
    assert found[bad.folder].manifest is None
    assert "expected was key" in found[bad.folder].findings[0].message


def test_without_a_signature_it_passes_only_when_allowed_and_says_so(reader: BundleReader, tmp_path: Path) -> None:
    manifest = build_full_bundle(tmp_path, secret=None)
    folder = tmp_path / manifest.folder
    assert not _verify(reader, folder)[0].is_ok
    (allowed,) = _verify(reader, folder, key=None, unsigned=True)
    assert allowed.is_ok
    assert [(f.subject, f.severity) for f in allowed.findings] == [("signature", Severity.WARNING)]
    flip_byte(folder / "bundle.json", 5)
    assert not _verify(reader, folder, key=None, unsigned=True)[0].is_ok


# Every byte counts


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    manifest = build_full_bundle(folder, models={"chat": MODEL[:40_000]}, part_size=30_000)
    return folder / manifest.folder


@given(data=st.data())
@settings(max_examples=250)
def test_every_changed_byte_is_found_and_its_file_named(
    reader: BundleReader, packed: Path, data: st.DataObject
) -> None:
    files = sorted(path for path in packed.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    changed = bytearray(original)
    changed[data.draw(st.integers(0, len(original) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        errors = _list_errors(_verify(reader, packed))
    finally:
        path.write_bytes(original)
    name = str(path.relative_to(packed))
    assert errors
    if name.startswith("bundle.json"):
        assert all(f"{name}: " in message for _, message in errors)
    else:
        assert {subject for subject, _ in errors} == {name}
