"""What the layout writes is read by tar itself, lies where it says, and fits the parts that were asked for."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.bundle.format.chunks import MAX_CHUNK_BYTES, list_chunks
from stackctl.core.bundle.format.layout import (
    BLOCK,
    END,
    MAX_MEMBER_BYTES,
    MIN_PART_BYTES,
    Entry,
    build_header,
    pad,
    parse_header,
    parse_part_size,
    plan_parts,
)
from stackctl.errors import BundleError
from tests.bundle_builder import lay_out

paths = st.from_regex(r"[a-z0-9]{1,20}(/[a-z0-9.]{1,20}){0,3}", fullmatch=True)
members = st.dictionaries(paths, st.binary(max_size=2000), min_size=1, max_size=12)


@given(members, st.integers(4096, 20_000))
def test_python_reads_back_every_member_from_where_it_was_placed(content: dict[str, bytes], part_size: int) -> None:
    parts, places = lay_out(content, part_size)
    assert all(len(part) <= part_size for part in parts)
    seen = {}
    for number, part in enumerate(parts, 1):
        with tarfile.open(fileobj=io.BytesIO(part), mode="r:") as tar:
            for info in tar:
                assert info.isreg()
                assert (info.mode, info.uid, info.gid, info.mtime, info.uname) == (0o644, 0, 0, 0, "")
                assert places[info.name] == (number, info.offset_data)
                file = tar.extractfile(info)
                seen[info.name] = file.read() if file else b""
    assert seen == content


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.integers(8192, 40_000))
def test_placements_fill_parts_in_order_without_overlap_or_gap(sizes: list[int], part_size: int) -> None:
    entries = [Entry(f"e{number}", size) for number, size in enumerate(sizes)]
    placements, part_sizes = plan_parts(entries, part_size)
    assert [placement.entry for placement in placements] == entries
    assert max(part_sizes) <= part_size
    ends = [0] * len(part_sizes)
    for before, after in pairwise(placements):
        assert after.part - before.part in (0, 1)
    for placement in placements:
        assert placement.offset == ends[placement.part - 1] + BLOCK
        ends[placement.part - 1] = placement.offset + placement.entry.size + pad(placement.entry.size)
    assert [end + len(END) for end in ends] == list(part_sizes)


def test_everything_too_large_for_a_part_is_named_at_once() -> None:
    entries = [Entry("a", 9000, "image a"), Entry("b", 10), Entry("c", 9001, "image c")]
    with pytest.raises(BundleError) as refused:
        plan_parts(entries, 8192)
    assert [finding.subject for finding in refused.value.findings] == ["image a", "image c"]
    assert "--part-size" in refused.value.hint


@given(st.one_of(paths, st.just("")), st.integers(0, MAX_MEMBER_BYTES))
def test_a_header_says_what_was_written_in_it(path: str, size: int) -> None:
    assert parse_header(build_header(path, size)) == ((path, size) if path else ("", 0))


@given(st.data())
def test_a_header_with_one_other_byte_is_none(data: st.DataObject) -> None:
    header = bytearray(build_header("blobs/sha256/" + "0" * 64, 1234))
    header[data.draw(st.integers(0, BLOCK - 1))] ^= data.draw(st.integers(1, 255))
    assert parse_header(bytes(header)) == ("", 0)


@given(st.binary(max_size=600))
def test_any_bytes_for_a_header_are_none(data: bytes) -> None:
    assert parse_header(data) == ("", 0)


@pytest.mark.parametrize(("path", "size"), [("a" * 101, 0), ("ü", 0), ("a", -1), ("a", MAX_MEMBER_BYTES + 1)])
def test_what_does_not_fit_a_header_is_refused(path: str, size: int) -> None:
    with pytest.raises(ValueError, match=r"fit a ustar header|can't encode"):
        build_header(path, size)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("fat32", 4_000_000_000),
        (" BD ", 25_000_000_000),
        ("dvd", 4_699_999_744),
        ("700m", 734_003_200),
        ("1G", 1 << 30),
        ("68157441", 65 << 20),
        ("700MB", 700_000_000 - 700_000_000 % BLOCK),
        ("700 mb", 700_000_000 - 700_000_000 % BLOCK),
        ("4.7GB", 4_699_999_744),
        ("1.5g", 3 << 29),
        ("65MiB", 65 << 20),
        ("2 GiB", 2 << 30),
        ("1tb", 10**12),
        ("1TiB", 1 << 40),
        ("71000000 B", 71_000_000 - 71_000_000 % BLOCK),
    ],
)
def test_part_sizes_are_whole_blocks(text: str, size: int) -> None:
    assert parse_part_size(text) == size
    assert size % BLOCK == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "-1m",
        "1.g",
        ".5g",
        "1,5g",
        "1e9",
        "64m",
        "68MB",
        "cd",
        "1m m",
        "1mbit",
        "4",
        "fat16",
        "\u0661m",
        "1" * 16,
    ],
)
def test_other_part_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"part"):
        parse_part_size(text)


def test_a_part_size_that_is_too_small_is_told_the_least_and_why() -> None:
    with pytest.raises(ValueError, match=r"'60MB' .* at least 65MiB .* pieces of up to 64 MiB, and no piece is split"):
        parse_part_size("60MB")


@given(st.text(alphabet="0123456789.kmgtib ", max_size=8))
def test_any_text_is_a_whole_part_size_or_refused(text: str) -> None:
    with suppress(ValueError):
        size = parse_part_size(text)
        assert size >= MIN_PART_BYTES
        assert size % BLOCK == 0


@given(st.integers(0, 3 * MAX_CHUNK_BYTES), st.lists(st.integers(-10, 4 * MAX_CHUNK_BYTES), max_size=20))
def test_chunks_cover_a_file_once_and_begin_at_every_cut(size: int, cuts: list[int]) -> None:
    chunks = list_chunks(size, cuts)
    assert sum(length for _, length in chunks) == size
    assert all(0 < length <= MAX_CHUNK_BYTES for _, length in chunks)
    assert all(before[0] + before[1] == after[0] for before, after in pairwise(chunks))
    assert {cut for cut in cuts if 0 < cut < size} <= {offset for offset, _ in chunks}
