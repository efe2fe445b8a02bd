"""Other people's programs read what bundles are made of, and we read theirs: tar, minisign."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from stackctl.core.bundle.format.layout import blob_path
from stackctl.core.bundle.format.signature import (
    parse_public_key,
    parse_secret_key,
    render_public_key,
    render_secret_key,
    sign,
    verify,
)
from stackctl.errors import BundleError
from tests.bundle_builder import SECRET, lay_out, make_bytes

DATA = b'{"format":"ai-stack-bundle/1"}\n'
TEXT = sign(SECRET, DATA, "test-stack 1")


def test_tar_itself_reads_a_part(tmp_path: Path) -> None:
    content = {"oci-layout": b"{}", blob_path("ab" * 32): make_bytes("blob", 70_000), "empty": b""}
    (part,), _ = lay_out(content, 1 << 20)
    (tmp_path / "part.tar").write_bytes(part)
    tar = shutil.which("tar")
    if not tar:
        pytest.skip("tar is not on PATH")
    done = subprocess.run([tar, "-xvf", "part.tar"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {name: (tmp_path / name).read_bytes() for name in done.stdout.splitlines()} == content


@pytest.fixture(scope="module")
def minisign() -> str:
    program = shutil.which("minisign")
    if not program:
        pytest.skip("minisign is not on PATH")
    return program


def _run(*argv: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(item) for item in argv], input=text, capture_output=True, text=True, check=False)


def test_minisign_accepts_our_signature_and_our_keys(minisign: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "data.sig").write_text(TEXT)
    (tmp_path / "key.pub").write_text(render_public_key(SECRET.public))
    (tmp_path / "key").write_text(render_secret_key(SECRET))
    checked = _run(minisign, "-Vm", tmp_path / "data", "-x", tmp_path / "data.sig", "-p", tmp_path / "key.pub")
    assert checked.returncode == 0, checked.stderr
    assert "test-stack 1" in checked.stdout
    assert _run(minisign, "-R", "-s", tmp_path / "key", "-p", tmp_path / "again.pub").returncode == 0
    assert (tmp_path / "again.pub").read_text() == render_public_key(SECRET.public)
    assert _run(minisign, "-Sm", tmp_path / "data", "-s", tmp_path / "key").returncode == 0
    assert verify(SECRET.public, DATA, (tmp_path / "data.minisig").read_text())


def test_we_read_minisigns_keys_and_refuse_a_locked_one(minisign: str, tmp_path: Path) -> None:
    made = _run(minisign, "-G", "-W", "-s", tmp_path / "key", "-p", tmp_path / "key.pub")
    assert made.returncode == 0, made.stderr
    secret = parse_secret_key((tmp_path / "key").read_text())
    public = parse_public_key((tmp_path / "key.pub").read_text())
    assert secret.public == public
    assert public.name in (tmp_path / "key.pub").read_text()
    locked = _run(minisign, "-G", "-s", tmp_path / "locked", "-p", tmp_path / "locked.pub", text="secret\nsecret\n")
    assert locked.returncode == 0, locked.stderr
    with pytest.raises(BundleError, match="locked with a password"):
        parse_secret_key((tmp_path / "locked").read_text())
