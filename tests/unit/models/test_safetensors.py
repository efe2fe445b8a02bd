"""The reader of safetensors headers: what it says of good files, and that it refuses every other."""

from __future__ import annotations

import io
import json
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.models.safetensors import MAX_HEADER_BYTES, SafetensorsError, SafetensorsHeader, parse_safetensors
from tests.model_folders import build_safetensors, wrap_header

SHAPES = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
    st.lists(st.integers(0, 5), max_size=4).map(tuple),
    max_size=6,
)


def parse(data: bytes) -> SafetensorsHeader:
    return parse_safetensors(io.BytesIO(data))


def write_entry(**changes: object) -> bytes:
    """A file of one tensor of eight bytes, with these changes to what its header says."""
    entry: dict[str, Any] = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8], **changes}
    return wrap_header(json.dumps({"a": entry}).encode(), bytes(8))


def test_a_header_is_read_with_names_sizes_and_places() -> None:
    data = build_safetensors({"a": (2, 3), "b": (), "c": (0, 7)})
    header = parse(data)
    assert header.names == {"a", "b", "c"}
    assert (header.tensor_bytes, header.parameter_count) == (14, 7)
    assert header.dtype_bytes == {"BF16": 14}
    assert header.data_start == len(data) - 14
    assert header.tensor_starts == (header.data_start, header.data_start + 12, header.data_start + 14)


@given(SHAPES)
def test_what_is_written_is_what_is_read(shapes: dict[str, tuple[int, ...]]) -> None:
    data = build_safetensors(shapes)
    header = parse(data)
    assert header.names == shapes.keys()
    assert header.size_bytes == header.data_start + header.tensor_bytes == len(data)
    assert list(header.tensor_starts) == sorted(header.tensor_starts)


@given(SHAPES, st.data())
def test_a_file_cut_anywhere_is_refused(shapes: dict[str, tuple[int, ...]], data: st.DataObject) -> None:
    whole = build_safetensors(shapes)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(SafetensorsError):
        parse(whole[:length])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_words(data: bytes) -> None:
    with suppress(SafetensorsError):
        parse(data)
    with suppress(SafetensorsError):
        parse(wrap_header(data))


@given(SHAPES, st.data())
def test_a_damaged_byte_never_ends_in_another_error(shapes: dict[str, tuple[int, ...]], data: st.DataObject) -> None:
    whole = bytearray(build_safetensors(shapes))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(SafetensorsError):
        parse(bytes(whole))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), st.dictionaries(st.sampled_from(("dtype", "shape", "data_offsets")), JSON)))
def test_any_header_of_any_values_is_read_or_refused(table: dict[str, dict[str, object]]) -> None:
    with suppress(SafetensorsError):
        parse(wrap_header(json.dumps(table).encode(), bytes(64)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no safetensors file"),
        (b"GGUF" + bytes(60), "no safetensors file"),
        ((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{}", "no safetensors file"),
        ((1000).to_bytes(8, "little") + b"{}", "truncated in its header"),
        (wrap_header(b"[]"), "its header begins with"),
        (wrap_header(b"{no}"), "its header is no JSON"),
        (wrap_header(b"{" + b'"a":[' * 50_000), "its header is no JSON"),
        (wrap_header(b'{"a": {}, "a": {}}'), "names something twice"),
        (wrap_header(b'{"a": 1}'), "has no dtype"),
        (write_entry(dtype="Q9"), "'Q9', which is unknown"),
        (write_entry(shape=[2, 3]), "8 bytes seen, 12 expected"),
        (write_entry(shape=[2, -2]), "no sizes"),
        (write_entry(shape=[True, 4]), "no sizes"),
        (write_entry(data_offsets=[8, 0]), "another size"),
        (write_entry(data_offsets=[8, 16]), "begins at 8, where 0 was expected"),
        (write_entry() + b"x", "longer than its header says"),
        (write_entry()[:-1], "truncated: "),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_what_was_seen(data: bytes, words: str) -> None:
    with pytest.raises(SafetensorsError) as caught:
        parse(data)
    assert words in str(caught.value)


def test_overlapping_tensors_are_refused() -> None:
    table = {name: {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]} for name in ("a", "b")}
    with pytest.raises(SafetensorsError, match="'b' begins at 0, where 8 was expected"):
        parse(wrap_header(json.dumps(table).encode(), bytes(8)))


def test_a_hostile_length_takes_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(SafetensorsError):
        parse(MAX_HEADER_BYTES.to_bytes(8, "little") + b"{}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
