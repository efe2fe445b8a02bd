"""Digests that are remembered, and files that change while they are read."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from stackctl.adapters.files.content_hashes import ContentHashes, read_range, read_stamp
from stackctl.adapters.files.streams import PIECE_BYTES
from stackctl.errors import BundleError
from tests.gguf_files import write_model
from tests.model_folders import TWO_SHARDS, write_folder


def ignore(size: int) -> None:
    """Nobody watches."""


@pytest.fixture
def hashes(tmp_path: Path) -> ContentHashes:
    """A cache that takes every file for one that was left alone."""
    return ContentHashes(tmp_path / "cache", lambda: time.time_ns() + 10**10)


def test_a_file_that_was_hashed_whole_is_cut_when_it_is_packed_as_a_model(
    hashes: ContentHashes, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "a.gguf")
    whole = hashes.hash_file(path, ignore)
    cut = hashes.hash_model(path, ignore)
    assert whole.sha256 == cut.sha256
    assert len(whole.chunks) == 1 < len(cut.chunks)
    assert hashes.hash_model(path, ignore) == cut


@pytest.mark.parametrize("change", ["append", "overwrite", "truncate"])
def test_a_change_while_the_last_piece_is_read_is_noticed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "wheel"
    path.write_bytes(bytes(2 * PIECE_BYTES))
    os.utime(path, (1, 1))
    pieces = read_range(path, read_stamp(path), 0, 2 * PIECE_BYTES)
    next(pieces)
    if change == "truncate":
        os.truncate(path, PIECE_BYTES)
    else:
        with path.open("ab" if change == "append" else "r+b") as file:
            file.write(b"x")
    with pytest.raises(BundleError, match="changed since it was read"):
        list(pieces)


def test_a_file_in_a_folder_whose_name_is_no_text_is_hashed(hashes: ContentHashes, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    path = write_model(folder / "a.gguf")
    assert hashes.hash_model(path, ignore) == hashes.hash_model(path, ignore)


def test_safetensors_are_cut_at_their_header_and_tensors_and_other_files_are_not(
    hashes: ContentHashes, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "m", shards=TWO_SHARDS)
    weights = hashes.hash_model(folder / "model-00002-of-00002.safetensors", ignore)
    assert [size for _, size, _ in weights.chunks] == [weights.size - 12_800 - 128, 12_800, 128]
    assert len(hashes.hash_model(folder / "config.json", ignore).chunks) == 1


def test_a_damaged_safetensors_file_is_not_packed(hashes: ContentHashes, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"no header")
    with pytest.raises(BundleError, match="no safetensors file"):
        hashes.hash_model(tmp_path / "m.safetensors", ignore)
