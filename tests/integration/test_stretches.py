"""Long writes on a real disk: the same bytes as simple ones, wherever they begin, past the page cache or through it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.adapters import disks, stretches
from stackctl.adapters.staging import Staging
from stackctl.adapters.stretches import ALIGNMENT, ManyWriter, StretchWriter

STRETCH = 4 * ALIGNMENT
OLD = b"o"


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stretches")


@pytest.fixture(autouse=True, scope="module")
def _short_stretches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "STRETCH_BYTES", STRETCH)
        yield


def make_file(folder: Path, size: int) -> Path:
    path = folder / "file"
    path.write_bytes(OLD * size)
    return path


def list_open() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


sizes = st.integers(0, 3 * STRETCH) | st.sampled_from([ALIGNMENT, STRETCH, STRETCH - 1, STRETCH + 1])
steps = st.lists(st.tuples(st.sampled_from(["write", "skip", "flush"]), sizes), max_size=12)


@settings(max_examples=300, deadline=None)
@given(offset=st.integers(0, 2 * ALIGNMENT), steps=steps)
def test_the_file_holds_what_was_written_and_keeps_what_was_skipped(
    pool: ThreadPoolExecutor, folder: Path, offset: int, steps: list[tuple[str, int]]
) -> None:
    total = offset + sum(size for kind, size in steps if kind != "flush") + 100
    path = make_file(folder, total)
    expected, position = bytearray(OLD * total), offset
    with StretchWriter(path, offset, pool) as writer:
        for number, (kind, size) in enumerate(steps):
            if kind == "flush":
                writer.flush()
                assert writer.written == position - offset
            elif kind == "skip":
                writer.skip(size)
                position += size
            else:
                data = bytes([number]) * size
                writer.write(data)
                expected[position : position + size] = data
                position += size
            assert path.read_bytes()[: offset + writer.written] == expected[: offset + writer.written]
        writer.flush()
        assert writer.written == position - offset
    assert path.read_bytes() == expected


@pytest.mark.parametrize("refusal", ["open", "write"])
def test_a_disk_that_refuses_direct_writes_gets_them_through_the_cache(
    pool: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    path, data = make_file(tmp_path, 3 * STRETCH), os.urandom(3 * STRETCH)
    is_direct = set()
    really_open, really_write = os.open, os.pwrite

    def open_file(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT and refusal == "open":
            raise OSError(errno.EINVAL, "no such thing here")
        handle = really_open(path, flags, mode)
        if flags & os.O_DIRECT:
            is_direct.add(handle)
        return handle

    def write(handle: int, data: memoryview, offset: int) -> int:
        if handle in is_direct:
            if offset:
                raise OSError(errno.EINVAL, "not so")
            data = data[:ALIGNMENT]  # a short write, and then none at all
        return really_write(handle, data, offset)

    monkeypatch.setattr(stretches, "is_solid", lambda path: True)
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "pwrite", write)
    with StretchWriter(path, 0, pool) as writer:
        writer.write(data)
        writer.flush()
    assert path.read_bytes() == data


def test_a_write_that_fails_is_reported_before_it_counts(
    pool: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_file(tmp_path, 1)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with StretchWriter(path, 0, pool) as writer:
        monkeypatch.setattr(os, "pwrite", fail)
        with pytest.raises(OSError, match="No space left"):
            writer.write(bytes(3 * STRETCH))
        assert writer.written == 0


def test_what_is_written_at_many_places_opens_a_file_once(tmp_path: Path) -> None:
    path, other = make_file(tmp_path, 5000), tmp_path / "other"
    other.write_bytes(b"....")
    before = len(list_open())
    with ManyWriter([(path, 2 * number) for number in range(2000)] + [(other, 1)]) as writer:
        assert len(list_open()) <= before + 2
        writer.write(b"x")
        writer.write(b"y")
        assert writer.written == 2
    assert path.read_bytes() == b"xy" * 2000 + OLD * 1000
    assert other.read_bytes() == b".xy."


def test_nothing_is_left_open(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    path = make_file(tmp_path, 10)
    before = list_open()
    with StretchWriter(path, 3, pool) as writer:
        writer.write(b"abc")
    with pytest.raises(FileNotFoundError), ManyWriter([(path, 0), (tmp_path / "missing", 0)]):
        pass
    with pytest.raises(FileNotFoundError):
        StretchWriter(tmp_path / "missing", 0, pool)
    assert list_open() == before


def test_only_a_disk_of_this_machine_is_known_to_be_solid(tmp_path: Path) -> None:
    assert not disks.is_solid(Path("/proc/self/status"))
    assert not disks.turns(Path("/proc/self/status"))
    assert not disks.is_solid(tmp_path / "missing")
    assert not (disks.is_solid(tmp_path) and disks.turns(tmp_path))


def test_a_program_stays_one_where_no_second_name_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, source: Path) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source = tmp_path / "llama-server"
    source.write_bytes(b"program")
    source.chmod(0o755)
    staging = Staging(tmp_path / "staging")
    staging.link(source, "release/llama-server")
    staging.close()
    made = tmp_path / "staging" / "release" / "llama-server"
    assert (made.read_bytes(), stat.S_IMODE(made.stat().st_mode)) == (b"program", 0o755)
