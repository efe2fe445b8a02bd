"""Verifying what was loaded at a site: every kept release, every chunk, and what belongs to none of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from stackctl.cli.world.reading import build_reader
from stackctl.core.bundle.format.installed_paths import model_folder
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.load.record import LoadRecord, render_record
from stackctl.errors import BundleError, Finding, Severity
from stackctl.operations.bundle.check.reading import BundleReader
from stackctl.operations.bundle.check.verify import Verified
from stackctl.operations.bundle.check.verify_installed import verify_installed
from tests.bundle_builder import SECRET
from tests.bundle_damage import FILES, MODEL, build_full_bundle, flip_byte, take_snapshot
from tests.fakes import World


@pytest.fixture(scope="module")
def reader() -> BundleReader:
    return build_reader(World().effects)


def _list_errors(found: Sequence[Verified]) -> list[tuple[str, str]]:
    return [(f.subject, f.message) for item in found for f in item.findings if f.severity is Severity.ERROR]


def _install(site: Path, folder: Path, manifest: Manifest, files: dict[str, bytes], models: dict[str, bytes]) -> Path:
    """What loading leaves behind, as core/bundle/format/installed_paths.py has it."""
    offline = site / "offline"
    release = offline / "releases" / manifest.short_id
    release.mkdir(parents=True)
    for name in ("bundle.json", "bundle.json.sig"):
        shutil.copy(folder / manifest.folder / name, release / name)
    (release / "load.json").write_text("{}")
    for path, data in files.items():
        (release / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (release / "files" / path).write_bytes(data)
    for model in manifest.models:
        store = offline / model_folder(model.digest)
        store.mkdir(parents=True, exist_ok=True)
        (store / model.files[0].path).write_bytes(models[model.served_names[0]])
    (offline / "current").unlink(missing_ok=True)
    (offline / "current").symlink_to(f"releases/{manifest.short_id}")
    return offline


@pytest.fixture
def site(tmp_path: Path) -> Path:
    one = build_full_bundle(tmp_path / "b")
    newer = {**FILES, "config/stack.yml": b"models: {a: {}}\n"}
    two = build_full_bundle(tmp_path / "b", base=one, version=2, files=newer)
    _install(tmp_path / "site", tmp_path / "b", one, FILES, {"chat": MODEL})
    _install(tmp_path / "site", tmp_path / "b", two, newer, {"chat": MODEL})
    return tmp_path / "site"


def test_what_was_installed_is_right_and_the_current_release_comes_first(reader: BundleReader, site: Path) -> None:
    before = take_snapshot(site)
    found = verify_installed(reader, site, SECRET.public)
    assert _list_errors(found) == []
    assert [item.manifest.version for item in found if item.manifest] == [2, 1]
    assert [(f.subject, f.severity) for item in found for f in item.findings] == [("images", Severity.WARNING)] * 2
    assert take_snapshot(site) == before


def test_images_are_asked_of_whoever_knows_the_engine(reader: BundleReader, site: Path) -> None:
    asked: list[Manifest] = []

    def check(manifest: Manifest) -> list[Finding]:
        asked.append(manifest)
        return [Finding("api-gateway", "is not in the engine")]

    found = verify_installed(reader, site, SECRET.public, check_images=check)
    assert len(asked) == 2
    assert _list_errors(found) == [("api-gateway", "is not in the engine")] * 2


def test_images_that_loading_gave_to_no_engine_are_not_missed(reader: BundleReader, site: Path) -> None:
    record = LoadRecord("", "", 1, "verified", "", "", "", ("process",), "")
    for release in (site / "offline" / "releases").iterdir():
        (release / "load.json").write_text(render_record(record))
    found = verify_installed(
        reader, site, SECRET.public, check_images=lambda manifest: [Finding("image", "is missing")]
    )
    assert _list_errors(found) == []


def test_what_an_interrupted_load_has_brought_already_is_no_error(reader: BundleReader, site: Path) -> None:
    (site / "offline" / "store" / "models" / "0123456789abcdef").mkdir()
    (site / "offline" / "staging" / "0123456789ab").mkdir(parents=True)
    found = verify_installed(reader, site, SECRET.public)
    assert _list_errors(found) == []
    strays = {finding.subject: finding.severity for finding in found[0].findings if "/" in finding.subject}
    assert strays == {"store/models/0123456789abcdef": Severity.WARNING, "staging/0123456789ab": Severity.WARNING}


def test_everything_wrong_at_a_site_is_named_in_one_run(reader: BundleReader, site: Path) -> None:
    offline = site / "offline"
    current = offline / (offline / "current").readlink()
    (model,) = (offline / "store" / "models").iterdir()
    flip_byte(model / "chat.gguf", 20_000)
    (model / "extra.gguf").write_bytes(b"x")
    (current / "files" / "wheels" / "a-1.whl").unlink()
    flip_byte(current / "files" / "config" / "stack.yml", 0)
    (current / "files" / ".hidden").write_bytes(b"x")
    (current / "load.json").unlink()
    (offline / "store" / "models" / "0123456789abcdef").mkdir()
    (offline / "previous").symlink_to("releases/000000000000")
    found = verify_installed(reader, site, SECRET.public)
    errors = dict(_list_errors(found[:1]))
    assert errors["chat.gguf"] == "its bytes 16384 to 32767 are altered"
    assert errors["extra.gguf"] == "a file that does not belong here"
    assert errors["files/wheels/a-1.whl"] == "is missing (5 bytes)"
    assert "is altered" in errors["files/config/stack.yml"]
    assert errors["files/.hidden"] == "a file that does not belong here"
    assert errors["load.json"] == "is missing"
    assert errors["store/models/0123456789abcdef"] == "belongs to no release that is kept"
    assert "which is no release" in errors["previous"]


def test_quick_looks_at_an_installations_sizes_only(reader: BundleReader, site: Path) -> None:
    (model,) = (site / "offline" / "store" / "models").iterdir()
    flip_byte(model / "chat.gguf", 20_000)
    assert _list_errors(verify_installed(reader, site, SECRET.public, quick=True)) == []
    os.truncate(model / "chat.gguf", 20_000)
    assert {subject for subject, _ in _list_errors(verify_installed(reader, site, SECRET.public, quick=True))} == {
        "chat.gguf"
    }


def test_a_release_that_nobody_vouches_for_is_named(reader: BundleReader, site: Path) -> None:
    release = site / "offline" / (site / "offline" / "current").readlink()
    flip_byte(release / "bundle.json", 100)
    found = verify_installed(reader, site, SECRET.public)
    assert [item.is_ok for item in found] == [False, True]
    assert "altered" in found[0].findings[0].message


def test_a_site_without_bundles_says_how_to_get_one(reader: BundleReader, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="Nothing is installed"):
        verify_installed(reader, tmp_path, SECRET.public)
