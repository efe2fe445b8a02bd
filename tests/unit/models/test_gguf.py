"""The GGUF reader against llama.cpp's own writer and reader, and hostile files."""

from __future__ import annotations

import io
import struct
import tracemalloc
from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.adapters.models.gguf import load_gguf
from stackctl.core.models.gguf import GGUFError, GGUFHeader, build_shard_names, parse_gguf, parse_split_name
from stackctl.core.models.gguf_tables import TENSOR_TYPES
from stackctl.errors import ConfigError
from tests.gguf_files import write_model


def parse(data: bytes) -> GGUFHeader:
    return parse_gguf(io.BytesIO(data))


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_model(tmp_path_factory.mktemp("model") / "m.gguf", vocabulary=20).read_bytes()


# What the header says


def add_window_and_experts(writer: gguf.GGUFWriter) -> None:
    writer.add_sliding_window(1024)
    writer.add_expert_count(8)
    writer.add_expert_used_count(2)


def test_facts_are_those_that_were_written(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.gguf",
        layers=3,
        embedding=128,
        heads=8,
        heads_kv=[2, 4, 2],
        context=4096,
        vocabulary=50,
        file_type=15,
        extra=add_window_and_experts,
    )
    header = load_gguf(path)
    assert (header.architecture, header.name, header.quantisation) == ("llama", "tiny", "Q4_K_M")
    assert (header.context_length, header.block_count, header.embedding_length) == (4096, 3, 128)
    assert (header.head_count, header.head_count_kv, header.key_length) == (8, (2, 4, 2), 16)
    assert (header.sliding_window, header.expert_count, header.expert_used_count) == (1024, 8, 2)
    assert (header.vocab_size, header.has_chat_template, header.is_known) == (50, True, True)
    assert header.size_bytes == path.stat().st_size >= header.expected_bytes


def test_sums_agree_with_the_reference_reader(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    tensors = gguf.GGUFReader(path).tensors
    header = load_gguf(path)
    assert header.tensor_count == len(tensors)
    assert header.parameter_count == sum(int(tensor.n_elements) for tensor in tensors)
    assert header.tensor_bytes == sum(int(tensor.n_bytes) for tensor in tensors)
    assert header.expected_bytes == max(int(tensor.data_offset + tensor.n_bytes) for tensor in tensors)


def test_tensor_sizes_agree_with_the_reference_package() -> None:
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        assert TENSOR_TYPES[int(kind)] == (kind.name, block, size)


@given(
    key=st.text(min_size=1, max_size=30).filter(lambda k: not k.startswith(("general.", "GGUF."))),
    value=st.one_of(
        st.text(max_size=200),
        st.booleans(),
        st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=3000),
        st.lists(st.text(max_size=20), min_size=1, max_size=50),
    ),
    context=st.integers(1, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_any_metadata_leaves_the_facts_intact(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object, context: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "m.gguf"
    writer = gguf.GGUFWriter(path, "qwen3")
    kind = {str: "add_string", bool: "add_bool", list: "add_array"}[type(value)]
    getattr(writer, kind)("x." + key, value)
    writer.add_context_length(context)
    writer.add_tensor("t", np.ones((2, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = load_gguf(path)
    assert (header.architecture, header.context_length, header.parameter_count) == ("qwen3", context, 64)


def test_quantisation_falls_back_to_the_largest_tensor_type(tmp_path: Path) -> None:
    assert load_gguf(write_model(tmp_path / "m.gguf", file_type=None, layers=8)).quantisation == "F16"


def test_a_vocabulary_longer_than_a_block_is_stepped_over(tmp_path: Path) -> None:
    header = load_gguf(write_model(tmp_path / "m.gguf", vocabulary=60_000, embedding=4, heads=1, heads_kv=1))
    assert (header.vocab_size, header.tensor_count, header.has_chat_template) == (60_000, 9, True)


# Hostile and broken files


def test_every_truncation_is_found(model_bytes: bytes) -> None:
    expected = parse(model_bytes).expected_bytes
    for length in range(0, len(model_bytes), 7):
        try:
            header = parse(model_bytes[:length])
        except GGUFError:
            continue
        assert header.size_bytes == length < header.expected_bytes == expected


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bytes_raise_nothing_else(model_bytes: bytes, data: st.DataObject) -> None:
    changed = bytearray(model_bytes)
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(0, 1500))] = data.draw(st.integers(0, 255))
    with suppress(GGUFError):
        parse(bytes(changed))


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_random_bytes_after_a_valid_start(tail: bytes) -> None:
    for start in (b"", b"GGUF", b"GGUF\x03\x00\x00\x00", b"GGUF" + struct.pack("<IQQ", 3, 1, 3)):
        with suppress(GGUFError):
            parse(start + tail)


def pack_text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def pack_file(pairs: bytes, count: int = 1, tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, count) + pairs


HUGE = 2**62
HOSTILE = {
    "pairs": (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), "metadata pairs"),
    "tensors": (b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0), "tensors"),
    "key length": (pack_file(struct.pack("<Q", HUGE)), "at most 1024"),
    "text length": (pack_file(pack_text(b"k") + struct.pack("<IQ", 8, HUGE)), "truncated"),
    "array length": (pack_file(pack_text(b"k") + struct.pack("<IIQ", 9, 4, HUGE)), "truncated"),
    "string count": (pack_file(pack_text(b"k") + struct.pack("<IIQ", 9, 8, HUGE)), "truncated"),
    "nested array": (pack_file(pack_text(b"k") + struct.pack("<IIQ", 9, 9, 1)), "value type 9"),
    "value type": (pack_file(pack_text(b"k") + struct.pack("<I", 77)), "value type 77"),
    "key not UTF-8": (pack_file(pack_text(b"\xff\xfe") + struct.pack("<II", 4, 1)), "not UTF-8"),
    "same key twice": (pack_file((pack_text(b"k") + struct.pack("<II", 4, 1)) * 2, count=2), "twice"),
    "alignment": (pack_file(pack_text(b"general.alignment") + struct.pack("<II", 4, 3)), "power of two"),
    "dimensions": (pack_file(pack_text(b"t") + struct.pack("<I", 2**31), 0, 1), "dimensions"),
    "big-endian": (b"GGUF\x00\x00\x00\x03" + bytes(32), "big-endian"),
    "version": (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
    "empty": (b"", "empty"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    "web page": (b"<!DOCTYPE html><title>Not found</title>", "web page"),
    "old format": (b"tjgg\x03\x00\x00\x00", "GGJT"),
    "text": (b"hello", "starts with b'hell'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_name_and_cheaply(name: str) -> None:
    data, expected = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(GGUFError, match=expected) as caught:
            parse(data)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, ConfigError)
    assert caught.value.hint


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(pack_file(pack_text(b"k") + struct.pack("<IQ", 8, 2**30)))
    with path.open("r+b") as file:
        file.truncate(2**31)
    with pytest.raises(GGUFError, match="header is longer than"):
        load_gguf(path)


def test_an_unlikely_number_of_layers_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", architecture="x", extra=None)
    data = path.read_bytes().replace(
        b"x.block_count" + struct.pack("<II", 4, 2), b"x.block_count" + struct.pack("<II", 4, 2**32 - 1)
    )
    with pytest.raises(GGUFError, match="block_count"):
        parse(data)


def test_a_figure_of_the_wrong_kind_names_its_key(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", extra=lambda w: w.add_string("llama.attention.key_length", "long"))
    with pytest.raises(GGUFError, match=r"llama\.attention\.key_length is 'long'"):
        load_gguf(path)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="folder"):
        load_gguf(tmp_path)


# Names of shards


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a-00002-of-00003.gguf", ("a", 2, 3)),
        ("/x/a-b-00001-of-00001.gguf", ("a-b", 1, 1)),
        ("a.gguf", None),
        ("a-00004-of-00003.gguf", None),
        ("a-00000-of-00003.gguf", None),
        ("a-1-of-3.gguf", None),
    ],
)
def test_split_names(name: str, expected: tuple[str, int, int] | None) -> None:
    split = parse_split_name(name)
    assert (split and (split.stem, split.number, split.count)) == expected


@given(st.integers(1, 300), st.data())
def test_shard_names_of_any_shard_are_the_same(count: int, data: st.DataObject) -> None:
    names = build_shard_names(f"m-00001-of-{count:05d}.gguf")
    assert len(names) == count
    assert build_shard_names(data.draw(st.sampled_from(names))) == names
