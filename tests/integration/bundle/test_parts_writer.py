"""Parts on a real disk: right bytes, layers in any order, and a pack that was stopped anywhere goes on there."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.adapters.bundle import parts_writer
from stackctl.adapters.bundle.parts_writer import JOURNAL, PartsWriter
from stackctl.core.bundle.format.layout import END, build_header, pad
from stackctl.core.bundle.pack.plan import Blob, EngineBlob, InMemory, PartPlan, PlacedBlob
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError

MIB = 1024 * 1024


class _Stopped(Exception):
    """Stands for the moment a process is killed: nothing after it runs."""


class _World:
    """Sources that count what is read of them, and that can stop everything after so many bytes."""

    def __init__(self, datas: dict[str, bytes]) -> None:
        self.datas = datas
        self.given = 0
        self.limit = 1 << 60

    def count(self, data: bytes) -> bytes:
        self.given += len(data)
        if self.given > self.limit:
            raise _Stopped
        return data

    def open_blob(self, blob: Blob, offset: int, before: object) -> Iterator[bytes]:
        data = self.datas[blob.sha256]
        for start in range(offset, len(data), 100_000):
            yield self.count(data[start : start + 100_000])

    def stream_layers(self, reference: str, wanted: frozenset[str]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        for digest in sorted(wanted, reverse=True):  # an order of its own
            blob = Blob(digest.removeprefix("sha256:"), 0, "", InMemory(b""))
            yield digest, len(self.datas[blob.sha256]), self.open_blob(blob, 0, None)


def make_parts(datas: list[bytes], layers: list[bytes], per_part: int = 3) -> tuple[tuple[PartPlan, ...], list[bytes]]:
    """Plans for these blobs, and what the parts must then be."""
    parts, expected = [], []
    entries = [(data, False) for data in datas] + [(data, True) for data in layers]
    for number, start in enumerate(range(0, len(entries), per_part), 1):
        members, content = [], b""
        for data, is_layer in entries[start : start + per_part]:
            sha256 = hashlib.sha256(data).hexdigest()
            source = EngineBlob("image", f"sha256:{sha256}") if is_layer else InMemory(b"")
            path = f"blobs/sha256/{sha256}"
            content += build_header(path, len(data))
            members.append(PlacedBlob(path, Blob(sha256, len(data), sha256[:8], source), len(content)))
            content += data + bytes(pad(len(data)))
        expected.append(content + END)
        parts.append(PartPlan(f"part-{number:04d}.tar", len(content) + len(END), tuple(members)))
    return tuple(parts), expected


def write(folder: Path, world: _World, parts: tuple[PartPlan, ...]) -> tuple[str, ...]:
    transfer = Transfer("packing", 0, lambda line: None, lambda: 0.0)
    return PartsWriter(folder, world.open_blob, world.stream_layers, transfer).write_parts(parts)


@pytest.fixture
def datas() -> list[bytes]:
    generator = random.Random(7)
    return [generator.randbytes(size) for size in (0, 1, 511, 512, 513, 700_000, 3_000_000, 10)]


@pytest.fixture(autouse=True)
def _sync_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_writer, "SYNC_BYTES", 200_000)


def build_world(*groups: list[bytes]) -> _World:
    return _World({hashlib.sha256(data).hexdigest(): data for group in groups for data in group})


def test_parts_are_exactly_what_was_planned(tmp_path: Path, datas: list[bytes]) -> None:
    layers = [os.urandom(900_001), os.urandom(5)]
    parts, expected = make_parts(datas, layers)
    digests = write(tmp_path, build_world(datas, layers), parts)
    assert [(tmp_path / part.name).read_bytes() for part in parts] == expected
    assert list(digests) == [hashlib.sha256(content).hexdigest() for content in expected]
    assert sorted(path.name for path in tmp_path.iterdir()) == [JOURNAL, *(part.name for part in parts)]


@pytest.mark.parametrize("seed", range(20))
def test_a_pack_stopped_anywhere_goes_on_there(tmp_path: Path, datas: list[bytes], seed: int) -> None:
    generator = random.Random(seed)
    layers = [generator.randbytes(2_000_000), generator.randbytes(400_000)]
    parts, expected = make_parts(datas, layers)
    world = build_world(datas, layers)
    total = sum(map(len, [*datas, *layers]))
    stops = 0
    world.limit = generator.randrange(1, total)
    while True:
        try:
            digests = write(tmp_path, world, parts)
            break
        except _Stopped:
            stops += 1
            assert not any(
                (tmp_path / part.name).exists() and (tmp_path / part.name).read_bytes() != content
                for part, content in zip(parts, expected, strict=True)
            )
            world.limit = world.given + generator.randrange(total // 2, total)
    assert stops
    assert list(digests) == [hashlib.sha256(content).hexdigest() for content in expected]
    assert [(tmp_path / part.name).read_bytes() for part in parts] == expected


def test_what_is_on_the_disk_is_not_read_again(tmp_path: Path, datas: list[bytes]) -> None:
    parts, _ = make_parts(datas, [])
    world = build_world(datas)
    total = sum(map(len, datas))
    world.limit = total - 500_000
    with pytest.raises(_Stopped):
        write(tmp_path, world, parts)
    before, world.limit = world.given, 1 << 60
    write(tmp_path, world, parts)
    rework = before + (world.given - before) - total
    assert world.given - before < total // 2
    assert rework <= 2 * 200_000 + 2 * MIB + 100_000


def test_bytes_that_were_never_synced_are_not_trusted(tmp_path: Path, datas: list[bytes]) -> None:
    """After a power cut the file may hold anything behind what the journal vouches for."""
    parts, expected = make_parts(datas, [], per_part=len(datas))
    world = build_world(datas)
    world.limit = 3_000_000
    with pytest.raises(_Stopped):
        write(tmp_path, world, parts)
    partial = tmp_path / "part-0001.tar.tmp"
    synced = parts_writer.Journal.load(tmp_path / JOURNAL).synced["part-0001.tar"]
    assert 0 < synced < partial.stat().st_size
    partial.write_bytes(partial.read_bytes()[:synced] + os.urandom(partial.stat().st_size - synced))
    world.limit = 1 << 60
    write(tmp_path, world, parts)
    assert (tmp_path / "part-0001.tar").read_bytes() == expected[0]


def test_a_torn_journal_line_costs_rework_and_nothing_else(tmp_path: Path, datas: list[bytes]) -> None:
    parts, expected = make_parts(datas, [])
    world = build_world(datas)
    world.limit = 3_000_000
    with pytest.raises(_Stopped):
        write(tmp_path, world, parts)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-7])
    world.limit = 1 << 60
    write(tmp_path, world, parts)
    assert [(tmp_path / part.name).read_bytes() for part in parts] == expected


def test_a_part_that_vanished_is_written_again(tmp_path: Path, datas: list[bytes]) -> None:
    layers = [os.urandom(300_000)]
    parts, expected = make_parts(datas, layers)
    world = build_world(datas, layers)
    write(tmp_path, world, parts)
    (tmp_path / parts[-1].name).unlink()
    write(tmp_path, world, parts)
    assert [(tmp_path / part.name).read_bytes() for part in parts] == expected


@pytest.mark.parametrize("change", [-1, 1])
def test_a_source_of_another_size_is_refused(tmp_path: Path, datas: list[bytes], change: int) -> None:
    parts, _ = make_parts(datas, [])
    world = build_world(datas)
    sha256 = hashlib.sha256(datas[5]).hexdigest()
    world.datas[sha256] = datas[5][:-1] if change < 0 else datas[5] + b"x"
    with pytest.raises(BundleError, match=f"gave {len(datas[5]) + change} bytes"):
        write(tmp_path, world, parts)
    assert not (tmp_path / parts[1].name).exists()
