"""offline-pack as a person sees it: a bad command line, the summary, and the next step as it can be typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.cli.world import packing
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.operations.bundle.pack.pack import PackResult
from tests.bundle_builder import ImageBytes, assemble_bundle, make_bytes
from tests.cli.conftest import Command, Outcome

SHARDS = {f"big-0000{number}-of-00003.gguf": make_bytes(f"shard {number}", 1000) for number in (1, 2, 3)}


@pytest.fixture
def manifest() -> Manifest:
    images = [ImageBytes("api-gateway", [{"bin/run": b"1"}])]
    return assemble_bundle(models={"chat": SHARDS}, images=images, bootstrap={"install.sh": b"#!/bin/sh\n"})[0]


@pytest.fixture
def pack(stackctl: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the command with this result."""
    (tmp_path / "stack.yml").touch()

    def run(result: PackResult, *options: object) -> Outcome:
        monkeypatch.setattr("stackctl.operations.bundle.pack.pack.run_pack", lambda *_, **__: result)
        monkeypatch.setattr(packing, "build_pack_effects", lambda *_: None)
        return stackctl("--site", tmp_path, "offline-pack", "--out", tmp_path, *options)

    return run


@pytest.mark.parametrize("python", ["abc", "3.x", "3.12.4", "2.7", "3.10", "3.011", "4.0", "python3.12"])
def test_what_is_no_usable_version_of_python_is_a_bad_command_line(stackctl: Command, python: str) -> None:
    done = stackctl("offline-pack", "--out", "out", "--python", python)
    assert done.code == 2
    assert f"'{python}' is no version that stackctl runs on" in done.err


def test_the_summary_says_whom_it_is_for_and_what_to_type_next(pack: Command, manifest: Manifest) -> None:
    done = pack(PackResult(Path("/media/my disk/x"), manifest, unchanged=False, is_signed=False, newest=1))
    assert "linux/amd64" in done.out
    assert "offline-verify --allow-unsigned '/media/my disk/x'" in done.out
    assert "sh bootstrap/install.sh" in done.out
    assert "big-00001-of-00003.gguf and 2 more" in done.out
    assert "not signed" in done.err


def test_a_signed_bundle_is_checked_with_the_key_beside_the_secret_one(
    pack: Command, stackctl: Command, manifest: Manifest, tmp_path: Path
) -> None:
    stackctl("offline-keygen", "--out", tmp_path)
    result = PackResult(Path("/media/x"), manifest, unchanged=True, is_signed=True, newest=1)
    done = pack(result, "--key", tmp_path / "bundle.key")
    assert f"offline-verify --key {tmp_path}/bundle.pub /media/x" in done.out
    assert done.err == ""


def test_content_of_an_older_version_is_warned_of(pack: Command, manifest: Manifest) -> None:
    done = pack(PackResult(Path("/x"), manifest, unchanged=True, is_signed=True, newest=manifest.version + 3))
    assert f"--version {manifest.version + 4}" in done.err


def test_a_base_that_has_everything_is_said(pack: Command, manifest: Manifest) -> None:
    done = pack(PackResult(None, manifest, unchanged=True))
    assert done.code == 0
    assert "has all of it. Nothing was written." in done.out
