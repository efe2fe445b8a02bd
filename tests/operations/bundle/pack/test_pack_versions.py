"""When nothing is written, and which version and signature a bundle has."""

from __future__ import annotations

from tests.operations.bundle.pack.packer import Packer, set_env


def test_an_unsigned_bundle_is_signed_when_there_is_a_key(packer: Packer) -> None:
    packer.has_key = False
    first = packer.pack()
    assert (first.unchanged, first.is_signed) == (False, False)
    packer.has_key = True
    second = packer.pack()
    assert (second.folder, second.unchanged, second.is_signed) == (first.folder, True, True)


def test_a_dry_run_signs_nothing(packer: Packer) -> None:
    packer.has_key = False
    packer.pack()
    packer.has_key = True
    assert packer.pack(dry_run=True).is_signed is None
    assert packer.signed == []


def test_a_base_that_has_everything_needs_no_delta(packer: Packer) -> None:
    base = packer.pack().manifest
    packer.bundles = []
    result = packer.pack(base=base)
    assert (result.folder, result.unchanged, result.manifest) == (None, True, base)
    assert packer.bundles == []
    assert packer.pack(base=base, version=9).manifest.version == 9


def test_content_of_an_older_bundle_is_said_to_be_older(packer: Packer) -> None:
    first = packer.pack()
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack().manifest.version == 2
    set_env(packer)
    again = packer.pack()
    assert (again.folder, again.newest) == (first.folder, 2)
    assert packer.pack(version=3).manifest.version == 3


def test_versions_go_on_where_every_bundle_goes_to_a_fresh_disk(packer: Packer) -> None:
    first = packer.pack().manifest
    packer.bundles = []
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack().manifest.version == 2
    packer.bundles = []
    set_env(packer)
    later = packer.pack().manifest
    assert (later.version, later.files) == (3, first.files)


def test_the_same_content_on_another_disk_is_the_same_bundle(packer: Packer) -> None:
    first = packer.pack()
    packer.bundles = []
    again = packer.pack()
    assert (again.unchanged, again.manifest) == (False, first.manifest)


def test_a_version_that_was_given_is_remembered_and_a_dry_run_is_not(packer: Packer) -> None:
    packer.pack(version=7, dry_run=True)
    assert packer.versions == {}
    packer.pack(version=7)
    packer.bundles = []
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack().manifest.version == 8


def test_a_version_that_is_given_twice_is_said_to_be_ambiguous(packer: Packer) -> None:
    assert not packer.pack(version=3).is_ambiguous
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack(version=3).is_ambiguous, "the folder has another one"
    packer.bundles = []
    set_env(packer, INFERENCE_SLOTS=3)
    assert packer.pack(version=3).is_ambiguous, "another disk has another one"
    assert not packer.pack(version=4).is_ambiguous
