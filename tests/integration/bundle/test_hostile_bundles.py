"""Bundles made to harm: each is refused in words that name the file, and nothing on the disk changes.

An attacker who cannot sign is stopped by the signature. These bundles have none, their manifests are consistent with
themselves and have the digest of the hostile part, and the operator allows them: the reader is alone.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.adapters.bundle.parts_check import locate_damage
from stackctl.adapters.bundle.parts_reader import open_bundles, read_members
from stackctl.cli.world.reading import build_reader
from stackctl.core.bundle.format.layout import BLOCK, END, build_header, pad
from stackctl.core.bundle.format.manifest import Manifest, Part, encode_manifest, hash_body, render_sums
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from stackctl.core.bundle.format.members import list_members, member_path
from stackctl.core.bundle.format.opened import check_signature
from stackctl.errors import BundleError, Severity
from stackctl.operations.bundle.check.verify import verify_bundles
from tests.bundle_builder import SECRET, assemble_bundle, write_bundle, write_manifest
from tests.fakes import World

FILES = {"config/stack.yml": b"models: {}\n", "wheels/a.whl": b"w" * 700}
MANIFEST, (PART,) = assemble_bundle(files=FILES)
MEMBERS = list_members(MANIFEST, 1)
SECOND = MEMBERS[1]


def _plant(folder: Path, part: bytes) -> Path:
    """A bundle whose manifest has this part's true digest, and as far as it can be its size; unsigned."""
    described = Part(name="part-0001.tar", size=MANIFEST.parts[0].size, sha256=hashlib.sha256(part).hexdigest())
    draft = MANIFEST.model_copy(update={"parts": (described,)})
    manifest = draft.model_copy(update={"id": hash_body(draft)})
    write_bundle(folder / manifest.folder, manifest, [part], {}, None)
    return folder / manifest.folder


def _list_errors(folder: Path) -> list[str]:
    (found,) = verify_bundles(build_reader(World().effects), [folder], None, allow_unsigned=True)
    return [finding.render_text() for finding in found.findings if finding.severity is Severity.ERROR]


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def _rebuild(edit: Callable[[list[tuple[bytes, bytes]]], object]) -> bytes:
    """The part, its list of headers and data (with padding) edited."""
    content = []
    for member in MEMBERS:
        end = member.offset + member.size + pad(member.size)
        content.append((PART[member.offset - BLOCK : member.offset], PART[member.offset : end]))
    edit(content)
    return b"".join(header + data for header, data in content) + END


def _replace_header(header: bytes) -> bytes:
    return _rebuild(lambda content: content.__setitem__(1, (header, content[1][1])))


def _tar_header(path: str = "", kind: bytes = b"0", **changes: Any) -> bytes:
    """A header that any tar accepts, of the second member unless something else is said."""
    info = tarfile.TarInfo(path or member_path(SECOND))
    info.type, info.size, info.mode = kind, SECOND.size, 0o644
    for name, value in changes.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.USTAR_FORMAT)


def _write_long_name(format_: Literal[1, 2]) -> bytes:
    info = tarfile.TarInfo("x" * 300)
    info.size = SECOND.size
    return info.tobuf(format_)


def _edit_header(offset: int, value: bytes) -> bytes:
    """A field of the second header, with a checksum that fits."""
    header = bytearray(build_header(member_path(SECOND), SECOND.size))
    header[offset : offset + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


PARTS: dict[str, Callable[[], bytes]] = {
    "an absolute path": lambda: _replace_header(_tar_header("/etc/cron.d/evil")),
    "a path upward": lambda: _replace_header(_tar_header("../../evil")),
    "a path upward inside": lambda: _replace_header(_tar_header("blobs/../../../evil")),
    "another blob's name": lambda: _replace_header(_tar_header("blobs/sha256/" + "0" * 64)),
    "a symbolic link": lambda: _replace_header(_tar_header(kind=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a hard link": lambda: _replace_header(_tar_header(kind=tarfile.LNKTYPE, linkname="../../etc/passwd")),
    "a character device": lambda: _replace_header(_tar_header(kind=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "a block device": lambda: _replace_header(_tar_header(kind=tarfile.BLKTYPE, devmajor=8)),
    "a pipe": lambda: _replace_header(_tar_header(kind=tarfile.FIFOTYPE)),
    "a folder": lambda: _replace_header(_tar_header(kind=tarfile.DIRTYPE)),
    "a sparse file": lambda: _replace_header(_tar_header(kind=tarfile.GNUTYPE_SPARSE)),
    "an unknown type": lambda: _replace_header(_tar_header(kind=b"Z")),
    "set-user-id": lambda: _replace_header(_tar_header(mode=0o4755)),
    "an owner": lambda: _replace_header(_tar_header(uid=1000, uname="root")),
    "a time": lambda: _replace_header(_tar_header(mtime=1)),
    "a larger size": lambda: _replace_header(_tar_header(size=SECOND.size + 1)),
    "a smaller size": lambda: _replace_header(_tar_header(size=SECOND.size - 1)),
    "a negative size": lambda: _replace_header(_edit_header(124, struct.pack(">Bxxxq", 0xFF, -1))),
    "a size of 2 to the 64": lambda: _replace_header(_edit_header(124, b"\x80\0\0\x01" + b"\0" * 8)),
    "a size in other digits": lambda: _replace_header(_edit_header(124, b"%12o" % SECOND.size)),
    "a name prefix": lambda: _replace_header(_edit_header(345, b"../..")),
    "bytes after the name": lambda: _replace_header(_edit_header(90, b"evil")),
    "another encoding": lambda: _replace_header(_edit_header(0, "ünïcode".encode("latin-1"))),
    "a wrong checksum": lambda: _replace_header(
        build_header(member_path(SECOND), SECOND.size)[:148] + b"000000\0 " + b"0" * 356
    ),
    "the old magic": lambda: _replace_header(_edit_header(257, b"ustar  \0")),
    "a GNU long name": lambda: _rebuild(lambda content: content.insert(1, (_write_long_name(tarfile.GNU_FORMAT), b""))),
    "a pax header": lambda: _rebuild(lambda content: content.insert(1, (_write_long_name(tarfile.PAX_FORMAT), b""))),
    "a member twice": lambda: _rebuild(lambda content: content.insert(1, content[1])),
    "two members exchanged": lambda: _rebuild(lambda content: content.reverse()),
    "a member less": lambda: _rebuild(lambda content: content.pop()),
    "a member more": lambda: _rebuild(lambda content: content.append((build_header("evil", 0), b""))),
    "twenty thousand members more": lambda: _rebuild(
        lambda content: content.extend((build_header(f"evil{number}", 0), b"") for number in range(20_000))
    ),
    "data in the padding": lambda: _rebuild(
        lambda content: content.__setitem__(0, (content[0][0], content[0][1][:-4] + b"evil"))
    ),
    "data after the end": lambda: PART + b"evil" * 1000,
    "zeros after the end": lambda: PART + bytes(10240),
    "an archive after the end": lambda: PART + PART,
    "no end": lambda: PART[: -len(END)],
    "half an end": lambda: PART[:-BLOCK],
    "half a header": lambda: PART[: SECOND.offset - 100],
    "nothing": lambda: b"",
    "zeros": lambda: bytes(len(PART)),
    "a compressed archive": lambda: _compress(PART),
}


def _compress(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("a")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("name", PARTS)
def test_a_hostile_part_is_refused_and_changes_nothing(tmp_path: Path, name: str) -> None:
    folder = _plant(tmp_path, PARTS[name]())
    before = _snapshot(tmp_path)
    manifest = parse_manifest((folder / "bundle.json").read_bytes())
    with pytest.raises(BundleError, match=r"part-0001\.tar .*at offset \d+, "):
        [list(data) for _, data in read_members(folder / "part-0001.tar", list_members(manifest, 1))]
    errors = _list_errors(folder)
    assert errors
    assert all("part-0001.tar" in text and text.isprintable() for text in errors)
    assert len(errors) <= 3 * len(MEMBERS) + 2  # header, data, padding; size, end
    assert _snapshot(tmp_path) == before


def test_the_part_itself_passes(tmp_path: Path) -> None:
    assert _list_errors(_plant(tmp_path, PART)) == []


@given(data=st.data())
@settings(max_examples=200)
def test_no_other_archive_is_read_as_this_one(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Stretches of a part cut out, repeated, replaced."""
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(PART))] * 2)))
    filling = data.draw(st.one_of(st.binary(max_size=600), st.sampled_from([PART[start:end] * 2, END, bytes(BLOCK)])))
    part = PART[:start] + filling + PART[end:]
    path = tmp_path_factory.mktemp("p") / "part-0001.tar"
    path.write_bytes(part)
    seen = _read_members(path)
    assert seen == FULL if part == PART else str(path) in seen
    assert (locate_damage(path, MANIFEST, 1) == []) is (part == PART)


FULL = "every member"


def _read_members(path: Path) -> str:
    try:
        for _, pieces in read_members(path, MEMBERS):
            list(pieces)
    except BundleError as error:
        return error.message
    return FULL


def test_a_terabyte_behind_the_end_is_not_read(tmp_path: Path) -> None:
    folder = _plant(tmp_path, PART)
    os.truncate(folder / "part-0001.tar", 1 << 40)
    errors = _list_errors(folder)
    assert any(f"has {1 << 40} bytes" in text for text in errors)
    assert any("follow the end" in text for text in errors)


# Names in the bundle's folder


def test_names_that_harm_a_terminal_are_shown_harmless(tmp_path: Path) -> None:
    folder = _plant(tmp_path, PART)
    names = [b"\x1b[2Jgone", b"two\nlines", b"\xff\xfe", "\u202egnp.exe".encode(), b"-rf", b"a" * 255]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"")
    errors = _list_errors(folder)
    assert len(errors) == len(names)
    assert all(text.isprintable() and text.isascii() for text in errors)


def test_a_folder_of_bundles_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    _plant(tmp_path, PART).rename(tmp_path / "a\r\x1b[2Kok  good")
    (text,) = _list_errors(tmp_path)
    assert text.isprintable()
    assert "cannot be shown" in text


def test_very_many_stray_files_are_counted_not_listed(tmp_path: Path) -> None:
    folder = _plant(tmp_path, PART)
    for number in range(1500):
        (folder / f"stray{number}").touch()
    errors = _list_errors(folder)
    assert len(errors) == 1001
    assert "500 more names" in errors[-1]


def test_folders_in_folders_end_somewhere(tmp_path: Path) -> None:
    folder = _plant(tmp_path, PART)
    (folder / "/".join(["d"] * 200)).mkdir(parents=True)
    assert any("folders deep" in text for text in _list_errors(folder))


@pytest.mark.parametrize("name", ["bundle.json", "bundle.json.sig", "part-0001.tar", "SHA256SUMS"])
@pytest.mark.parametrize("kind", ["pipe", "link", "device", "folder"])
def test_nothing_but_a_regular_file_is_read(tmp_path: Path, name: str, kind: str) -> None:
    folder = _plant(tmp_path, PART)
    write_manifest(folder, (folder / "bundle.json").read_bytes())
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero" if kind == "device" else "/etc/passwd")
    (text,) = _list_errors(folder)
    assert name in text


# Before anything is parsed


def test_nothing_is_parsed_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _plant(tmp_path, PART)
    write_manifest(folder, b"{" * 100, SECRET)
    (folder / "bundle.json").write_bytes(b"[" * 100)

    def refuse(*arguments: object) -> Manifest:
        raise AssertionError("parsed")

    monkeypatch.setattr("stackctl.operations.bundle.check.verify.parse_manifest", refuse)
    (found,) = verify_bundles(build_reader(World().effects), [folder], SECRET.public)
    assert "altered after key" in found.findings[0].message


def test_an_announced_size_is_not_believed(tmp_path: Path) -> None:
    """A manifest may say 9 PB; what is read is what is there."""
    folder = _plant(tmp_path, PART)
    manifest = parse_manifest((folder / "bundle.json").read_bytes())
    (opened,) = open_bundles([folder])
    assert not check_signature(opened, None, allow_unsigned=True).is_signed
    large = manifest.model_copy(update={"parts": (manifest.parts[0].model_copy(update={"size": 2**53 - 1}),)})
    write_manifest(folder, encode_manifest(large.model_copy(update={"id": hash_body(large)})), None)
    (folder / "SHA256SUMS").write_text(render_sums(large))
    assert any("its members make" in text for text in _list_errors(folder))
