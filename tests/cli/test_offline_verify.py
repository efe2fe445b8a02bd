"""offline-verify, offline-diff and offline-keygen as a person and a program see them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.signature import (
    parse_public_key,
    parse_secret_key,
    render_public_key,
    render_secret_key,
)
from tests.bundle_builder import OTHER_SECRET, SECRET, ImageBytes, build_bundle, make_bytes
from tests.cli.conftest import Command

KEY = render_public_key(SECRET.public).splitlines()[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder that is no site."""
    monkeypatch.delenv("BUNDLE_PUBLIC_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bundle(folder: Path) -> Manifest:
    return _build(folder)


def _build(folder: Path, **content: object) -> Manifest:
    defaults: dict[str, object] = {
        "files": {"config/stack.yml": b"a: 1\n"},
        "models": {"chat": make_bytes("model", 90_000)},
        "images": [ImageBytes("api-gateway", [{"bin/run": b"1"}])],
        "bootstrap": {"install.sh": b"#!/bin/sh\n"},
    }
    return build_bundle(folder, **defaults | content)  # type: ignore[arg-type]


# offline-verify


def test_a_good_bundle_is_one_line_and_exit_code_0(stackctl: Command, bundle: Manifest) -> None:
    done = stackctl("offline-verify", "--key", KEY, bundle.folder)
    assert done.code == 0
    row = done.out.splitlines()[1].split()
    assert row[:7] == ["ok", bundle.folder, "1", SECRET.public.name, "2", "1", "1"]
    assert done.err.count("\n") <= 1


def test_a_bad_bundle_is_exit_code_7_with_every_finding(stackctl: Command, bundle: Manifest) -> None:
    os.truncate(f"{bundle.folder}/part-0001.tar", 1000)
    Path(bundle.folder, "stray").write_text("")
    done = stackctl("offline-verify", "--key", KEY, bundle.folder)
    assert done.code == 7
    assert done.out.splitlines()[1].startswith("failed")
    assert "part-0001.tar: is damaged: has 1000 bytes; expected are" in done.err
    assert "stray: a file that does not belong here" in done.err
    assert "next:" in done.err


def test_json_has_all_of_it_for_programs(stackctl: Command, bundle: Manifest) -> None:
    good = stackctl("offline-verify", "--key", KEY, "--json", bundle.folder)
    Path(bundle.folder, "stray").write_text("")
    bad = stackctl("offline-verify", "--key", KEY, "--json", bundle.folder)
    assert (good.code, bad.code) == (0, 7)
    assert good.read_json() == {"ok": True, "bundles": [good.read_json()["bundles"][0]]}
    (seen,) = good.read_json()["bundles"]
    assert (seen["id"], seen["version"], seen["signed_by"]) == (bundle.id, 1, SECRET.public.name)
    assert (seen["images"], seen["models"], seen["findings"]) == ([bundle.images[0].reference], ["chat"], [])
    assert [finding["subject"] for finding in bad.read_json()["bundles"][0]["findings"]] == ["stray"]
    assert bad.read_json()["ok"] is False


def test_the_key_comes_from_a_flag_the_environment_or_the_site(
    stackctl: Command, bundle: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchecked = stackctl("offline-verify", bundle.folder)
    assert unchecked.code == 7
    assert "--key" in unchecked.err
    Path("bundle.pub").write_text(render_public_key(SECRET.public))
    assert stackctl("offline-verify", "--key", "bundle.pub", bundle.folder).code == 0
    Path(".env").write_text(f"BUNDLE_PUBLIC_KEY={KEY}\n")
    assert stackctl("offline-verify", bundle.folder).code == 0
    other = render_public_key(OTHER_SECRET.public).splitlines()[1]
    monkeypatch.setenv("BUNDLE_PUBLIC_KEY", other)
    wrong = stackctl("offline-verify", bundle.folder)
    assert wrong.code == 7
    assert f"Key {SECRET.public.name} signed this; expected was key {OTHER_SECRET.public.name}" in wrong.err
    assert stackctl("offline-verify", "--key", KEY, bundle.folder).code == 0


@pytest.mark.parametrize(("key", "code"), [("no-such-file", 3), ("", 7), ("A" * 56, 7), ("text", 7), (".", 3)])
def test_a_key_that_is_none_is_refused(stackctl: Command, bundle: Manifest, key: str, code: int) -> None:
    Path("text").write_text("hello\n")
    done = stackctl("offline-verify", "--key", key, bundle.folder)
    assert done.code == code
    assert "next:" in done.err


def test_an_unsigned_bundle_needs_a_flag_and_leaves_a_warning(stackctl: Command, folder: Path) -> None:
    manifest = _build(folder, secret=None)
    assert stackctl("offline-verify", manifest.folder).code == 7
    done = stackctl("offline-verify", "--allow-unsigned", manifest.folder)
    assert done.code == 0
    assert "nobody" in done.out
    assert "warning:" in done.err
    assert "is not signed" in done.err


@pytest.mark.parametrize("arguments", [[], ["--installed", "folder"]])
def test_bundles_or_the_installation_must_be_named(stackctl: Command, folder: Path, arguments: list[str]) -> None:
    done = stackctl("offline-verify", *arguments)
    assert done.code == 2
    assert "--installed" in done.err


def test_a_path_that_is_no_bundle_is_exit_code_7(stackctl: Command, folder: Path) -> None:
    assert stackctl("offline-verify", "missing").code == 7
    assert stackctl("offline-verify", ".").code == 7
    (folder / "stack.yml").touch()
    assert stackctl("offline-verify", "--installed").code == 7


def test_parts_elsewhere_are_named_with_from(stackctl: Command, bundle: Manifest) -> None:
    Path("disk").mkdir()
    Path(bundle.folder, "part-0002.tar").rename("disk/part-0002.tar")
    assert stackctl("offline-verify", "--key", KEY, bundle.folder).code == 7
    assert stackctl("offline-verify", "--key", KEY, "--from", "disk", bundle.folder).code == 0


def test_coreutils_alone_can_check_a_bundle(bundle: Manifest) -> None:
    if not shutil.which("sha256sum"):
        pytest.skip("sha256sum is not on PATH")
    argv = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(argv, cwd=bundle.folder, check=False).returncode == 0


# offline-diff


def test_a_difference_is_shown_with_its_lines_and_its_cost(stackctl: Command, bundle: Manifest, folder: Path) -> None:
    newer = _build(folder, files={"config/stack.yml": b"a: 2\n"}, version=2, base=bundle)
    done = stackctl("offline-diff", "--key", KEY, bundle.folder, newer.folder)
    assert (done.code, done.err) == (0, "")
    assert "version: 1 -> 2" in done.out
    assert "-a: 1\n+a: 2\n" in done.out
    assert "carries 5 B" in done.out
    data = stackctl("offline-diff", "--key", KEY, "--json", bundle.folder, newer.folder).read_json()
    assert [(change["kind"], change["name"], change["change"]) for change in data["changes"]] == [
        ("file", "config/stack.yml", "changed")
    ]
    assert data["delta_bytes"] == 5


def test_manifests_alone_are_enough_for_a_difference(stackctl: Command, bundle: Manifest, folder: Path) -> None:
    newer = _build(folder, files={"config/stack.yml": b"a: 2\n"}, version=2)
    for manifest in (bundle, newer):
        for path in Path(manifest.folder).glob("part-*"):
            path.unlink()
    done = stackctl("offline-diff", f"{bundle.folder}/bundle.json", f"{newer.folder}/bundle.json")
    assert done.code == 0
    assert "changed" in done.out
    assert "lines cannot be compared" in done.err
    assert "was not checked" in done.err


def test_a_difference_needs_one_bundle_on_each_side(stackctl: Command, bundle: Manifest, folder: Path) -> None:
    _build(folder, version=2)
    done = stackctl("offline-diff", ".", bundle.folder)
    assert done.code == 7
    assert "holds 2 bundles" in done.err


# offline-keygen


def test_a_pair_of_keys_is_made_once(stackctl: Command, folder: Path) -> None:
    done = stackctl("offline-keygen")
    assert done.code == 0
    secret = parse_secret_key(Path("bundle.key").read_text())
    public = parse_public_key(Path("bundle.pub").read_text())
    assert secret.public == public
    assert Path("bundle.pub").read_text().splitlines()[1] in done.out
    assert Path("bundle.key").read_text().splitlines()[1] not in done.out + done.err
    assert stat.S_IMODE(Path("bundle.key").stat().st_mode) == 0o600
    before = Path("bundle.key").read_bytes()
    again = stackctl("offline-keygen")
    assert again.code == 3
    assert "never replaced" in again.err
    assert Path("bundle.key").read_bytes() == before


@pytest.mark.parametrize("there", ["site.key", "site.pub"])
def test_neither_half_is_replaced_and_no_other_half_is_left(stackctl: Command, folder: Path, there: str) -> None:
    Path(there).write_text("mine")
    assert stackctl("offline-keygen", "--out", "site").code == 3
    assert [path.name for path in folder.iterdir()] == [there]
    assert Path(there).read_text() == "mine"


def test_keys_are_private_whatever_the_umask_is(stackctl: Command, folder: Path) -> None:
    before = os.umask(0)
    try:
        assert stackctl("offline-keygen", "--out", "keys/site").code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("keys/site.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path("keys/site.pub").stat().st_mode) == 0o644


def test_every_pair_is_another(stackctl: Command, folder: Path) -> None:
    for name in ("a", "b"):
        stackctl("offline-keygen", "--out", name)
    assert Path("a.key").read_text() != Path("b.key").read_text()
    assert render_secret_key(parse_secret_key(Path("a.key").read_text())) == Path("a.key").read_text()
