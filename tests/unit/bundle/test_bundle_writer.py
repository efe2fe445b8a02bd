"""A bundle's folder as it is written: whole under its name or not there, signed last, the disk's faults in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.adapters.bundle import bundle_writer
from stackctl.adapters.bundle.bundle_writer import BundleWriter, find_partial, find_partial_bytes, list_bundles
from stackctl.core.bundle.format.manifest import SIGNATURE_NAME, BootstrapFile, Manifest, encode_manifest
from stackctl.core.bundle.pack.plan import Blob, Draft, InMemory, build_draft, hash_bytes
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError
from tests.unit.bundle.test_bundle_plan import make_contents

SCRIPT = b"#!/bin/sh\n"
BOOTSTRAP = (("install.sh", True, len(SCRIPT), InMemory(SCRIPT)),)
MIB = 1024 * 1024


def make_draft(setting: bytes = b"1", version: int = 1) -> Draft:
    file = BootstrapFile(path="install.sh", size=len(SCRIPT), sha256=hash_bytes(SCRIPT), executable=True)
    contents = replace(make_contents({"config/a": setting}), bootstrap=((file, InMemory(SCRIPT)),))
    return build_draft(contents, version, None, MIB)


def open_blob(blob: Blob, offset: int, before: object) -> Iterator[bytes]:
    assert isinstance(blob.source, InMemory)
    yield blob.source.data[offset:]


def sign(manifest: Manifest, data: bytes) -> str:
    return f"signature of {hash_bytes(data)}\n"


UNSIGNED = BundleWriter(open_blob, lambda reference, wanted: iter(()), None)
SIGNED = replace(UNSIGNED, sign=sign)


def make_transfer(draft: Draft) -> Transfer:
    return Transfer("packing", draft.body.size_bytes, lambda line: None, lambda: 0.0)


def write(out: Path, draft: Draft, writer: BundleWriter = UNSIGNED) -> tuple[Path, Manifest]:
    return writer.write(out, draft, BOOTSTRAP, make_transfer(draft))


def test_progress_ends_when_everything_is_written(tmp_path: Path) -> None:
    draft = make_draft()
    transfer = make_transfer(draft)
    UNSIGNED.write(tmp_path, draft, BOOTSTRAP, transfer)
    assert transfer.done == transfer.total


def test_a_bundle_is_signed_later_and_once(tmp_path: Path) -> None:
    folder, manifest = write(tmp_path, make_draft())
    assert not UNSIGNED.sign_bundle(folder, manifest)
    assert SIGNED.sign_bundle(folder, manifest)
    signature = folder / SIGNATURE_NAME
    assert signature.read_text() == sign(manifest, encode_manifest(manifest))
    before = signature.stat()
    assert SIGNED.sign_bundle(folder, manifest)
    assert UNSIGNED.sign_bundle(folder, manifest)
    assert (signature.stat().st_ino, signature.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_another_pack_made_meanwhile_is_taken(tmp_path: Path) -> None:
    first = write(tmp_path, make_draft(), SIGNED)
    assert write(tmp_path, make_draft(), SIGNED) == first
    assert list_bundles(tmp_path) == [first]
    assert not find_partial(tmp_path, make_draft()).exists()


def test_what_has_the_bundle_s_name_and_is_not_whole_is_left_alone(tmp_path: Path) -> None:
    folder, _ = write(tmp_path, make_draft())
    (folder / "part-0001.tar").unlink()
    with pytest.raises(BundleError, match="is not whole"):
        write(tmp_path, make_draft())
    assert not (folder / "part-0001.tar").exists()


def test_room_that_killed_packs_of_other_content_take_counts_as_free(tmp_path: Path) -> None:
    killed = find_partial(tmp_path, make_draft(b"other"))
    killed.mkdir()
    (killed / "part-0001.tar.tmp").write_bytes(bytes(MIB))
    assert find_partial_bytes(tmp_path, make_draft()) >= MIB
    write(tmp_path, make_draft())
    assert not killed.exists()
    assert find_partial_bytes(tmp_path, make_draft()) == 0


@pytest.mark.parametrize(
    ("code", "seen"), [(errno.ENOSPC, "is full"), (errno.EIO, "Input/output error"), (errno.EROFS, "mounted read-only")]
)
def test_a_disk_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, seen: str) -> None:
    def fail(path: Path, text: str) -> bool:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(bundle_writer, "save_text", fail)
    with pytest.raises(BundleError, match=seen) as caught:
        write(tmp_path, make_draft())
    assert str(tmp_path) in caught.value.message
    assert list_bundles(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"file/out cannot be written: .*Not a directory"):
        write(tmp_path / "file" / "out", make_draft())
