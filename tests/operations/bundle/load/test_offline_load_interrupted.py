"""Loading bundles: an interruption at any moment, and the run after it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.bundle.offline_folder import OfflineFolder
from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.format.manifest_reader import find_members
from stackctl.errors import RuntimeFailure, StackError
from tests.bundle_builder import ImageBytes
from tests.fakes import raised_by
from tests.loading import MODEL, Place, build, damage, read_model, refused


@contextmanager
def failing_at(
    number: int, module: Any, name: str, error: BaseException, *, lasting: bool = False
) -> Iterator[list[int]]:
    """Have the call with this number, from 1, of a function of a module fail; the list counts the calls.

    Args:
        lasting: all calls after it fail, too.
    """
    calls: list[int] = []
    real = getattr(module, name)

    def call(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == number or (lasting and len(calls) > number):
            raise error
        return real(*given, **named)

    setattr(module, name, call)
    try:
        yield calls
    finally:
        setattr(module, name, real)


def interrupt_everywhere(
    tmp_path: Path, bundles: tuple[Path, ...], manifest: Manifest, fail: Callable[[int], Any], before: str = ""
) -> int:
    """Load at a fresh site with a failure at every place in turn, then again without; how many places there were."""
    for number in range(1, 10_000):
        folder = tmp_path / f"try-{number}"
        folder.mkdir()
        place = Place(folder)
        for bundle in bundles[:-1]:
            place.load(bundle)
        with fail(number) as calls:
            try:
                place.load(bundles[-1])
            except (StackError, KeyboardInterrupt):
                assert place.current in (before, manifest.short_id)
                if place.current:
                    release = place.folder.list_releases()
                    assert place.current in release
            else:
                assert len(calls) < number
        assert place.load(bundles[-1]).status in ("loaded", "already current")
        assert place.current == manifest.short_id
        assert place.folder.find_link("previous") == before
        assert read_model(place, manifest) == MODEL
        assert place.folder.list_staging() == {}
        assert list(place.engine.images) == [image.alias for image in manifest.images]
        if len(calls) < number:
            return number - 1
    raise AssertionError("no end in sight")


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("number_of_error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_write_costs_nothing_but_time(
    tmp_path: Path, disk: Path, number_of_error: int, lasting: bool
) -> None:
    bundle, manifest = build(disk)
    error = OSError(number_of_error, os.strerror(number_of_error))
    places = interrupt_everywhere(
        tmp_path, (bundle,), manifest, lambda number: failing_at(number, os, "pwrite", error, lasting=lasting)
    )
    assert places > 10


@pytest.mark.parametrize("name", ["fdatasync", "fsync"])
def test_a_failing_sync_at_any_moment_is_never_taken_for_success(tmp_path: Path, disk: Path, name: str) -> None:
    bundle, manifest = build(disk)
    broken = OSError(errno.EIO, "Input/output error")
    interrupt_everywhere(tmp_path, (bundle,), manifest, lambda number: failing_at(number, os, name, broken))


def test_what_the_kernel_lost_is_written_again(place: Place, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed write is reported once, and a sync after it succeeds although the data is gone."""
    bundle, manifest = build(disk)
    failures = [OSError(errno.EIO, "Input/output error")]
    real = os.fdatasync

    def lose(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if failures and size == len(MODEL):
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, size)
            raise failures.pop()
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", lose)
    monkeypatch.setattr("stackctl.adapters.bundle.staging.SYNC_BYTES", 1)
    assert "cannot be written" in refused(lambda: place.load(bundle))
    assert place.load(bundle).status == "loaded"
    assert read_model(place, manifest) == MODEL


def test_an_unplugged_source_at_any_read_is_continued(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, manifest = build(disk)

    @contextmanager
    def unplug(number: int) -> Iterator[list[int]]:
        calls: list[int] = []

        class Unplugged(FileIO):
            def readinto(self, buffer: Any) -> int | None:
                calls.append(1)
                if len(calls) >= number:
                    raise OSError(errno.EIO, "Input/output error")
                return super().readinto(buffer)

        with monkeypatch.context() as patch:
            patch.setattr("stackctl.adapters.files.untrusted_files.FileIO", Unplugged)
            yield calls

    assert interrupt_everywhere(tmp_path, (bundle,), manifest, unplug) > 5


@pytest.mark.parametrize("method", ["install", "switch", "remove"])
def test_an_interruption_while_things_get_their_places_is_continued(tmp_path: Path, disk: Path, method: str) -> None:
    first, base = build(disk, models={})
    bundle, manifest = build(disk, version=2)
    places = interrupt_everywhere(
        tmp_path,
        (first, bundle),
        manifest,
        lambda number: failing_at(number, OfflineFolder, method, KeyboardInterrupt()),
        before=base.short_id,
    )
    assert places >= 1


def test_a_model_that_was_to_be_mended_is_not_taken_for_mended(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    place.load(bundle)
    (path,) = (place.site / "offline").glob("store/models/*/*.gguf")
    damage(path, 20_000)
    with failing_at(1, OfflineFolder, "install", KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        place.load(bundle)
    place.load(bundle)
    assert read_model(place, manifest) == MODEL


def test_an_engine_that_breaks_off_leaves_the_release_before(place: Place, disk: Path) -> None:
    first, base = build(disk)
    place.load(first)
    image = ImageBytes("api-gateway", [{"base": b"base"}, {"app": b"two"}])
    bundle, manifest = build(disk, images=[image], version=2)
    with failing_at(1, place.engine, "load", RuntimeFailure("The engine broke off.")):
        assert raised_by(lambda: place.load(bundle)).exit_code == 5
    assert place.current == base.short_id
    result = place.load(bundle)
    assert place.current == manifest.short_id
    assert result.written_bytes == 0, "what was staged is used"


def test_a_load_that_was_left_halfway_is_named_when_another_one_succeeds(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    place.folder.open_staging("0123456789ab").close()
    (warning,) = place.load(bundle).warnings
    assert warning.subject == "0123456789ab"
    assert place.current == manifest.short_id


def test_bytes_that_were_wrong_once_are_read_again(place: Place, disk: Path) -> None:
    bundle, manifest = build(disk)
    member = find_members(manifest)[manifest.models[0].files[0].chunks[2]]
    damage(bundle / f"part-{member.part:04d}.tar", member.offset + 9)
    refused(lambda: place.load(bundle))
    damage(bundle / f"part-{member.part:04d}.tar", member.offset + 9)
    assert place.load(bundle).written_bytes == 16 * 1024, "only what was bad is written again"
    assert read_model(place, manifest) == MODEL
