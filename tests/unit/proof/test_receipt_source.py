"""What a receipt says of the installed release: which bundle, how it was verified, and which digests are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.bundle.format.installed_paths import model_folder
from stackctl.core.bundle.load.record import LoadRecord
from stackctl.core.bundle.load.release import Release
from stackctl.core.models.served import ServedModel
from stackctl.core.proof.receipt_source import build_installed_bundle, build_model_fact
from stackctl.operations.site.load import load_site
from tests.bundle_builder import assemble_bundle
from tests.fakes import World

STORE = "/site/offline"
RECORD = LoadRecord("id", "team", 7, "verified", "00AA", "", "2026-01-02T03:04:05Z", ("compose",), "0.1.0")


@pytest.fixture
def release() -> Release:
    manifest = assemble_bundle(models={"local-chat": {"a-1.gguf": b"one", "a-2.gguf": b"two"}})[0]
    return Release(manifest, f"{STORE}/releases/{manifest.short_id}", STORE, "", "")


@pytest.fixture
def model() -> ServedModel:
    return load_site(World().effects).compose.models[0]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (RECORD, "verified with key 00AA"),
        (replace(RECORD, signature="unsigned", key=""), "unsigned: nobody vouches for it"),
        (None, "not known"),
    ],
)
def test_how_the_bundle_was_verified_is_told(release: Release, record: LoadRecord | None, said: str) -> None:
    bundle = build_installed_bundle(release, record)
    assert (bundle.id, bundle.name) == (release.manifest.id, release.manifest.name)
    assert bundle.signature.startswith(said)


def test_a_model_of_the_release_has_the_digests_of_all_its_files(release: Release, model: ServedModel) -> None:
    (brought,) = release.manifest.models
    folder = Path(STORE) / model_folder(brought.digest)
    served = replace(model, shards=tuple(str(folder / file.path) for file in brought.files))
    assert build_model_fact(served, release).sha256 == tuple(file.sha256 for file in brought.files)


def test_a_file_of_the_sites_own_has_none(release: Release, model: ServedModel) -> None:
    assert build_model_fact(model, release).sha256 == ()
    assert build_model_fact(model, None).sha256 == ()
