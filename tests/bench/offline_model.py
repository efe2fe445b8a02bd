"""A GGUF file as large as one likes: random weights, as hard to compress as real ones."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

from tests.bench.disk import MIB

TENSOR_BYTES = 96 * MIB
ROW_LENGTH = 1024
ROWS_OF_A_MIB = MIB // (4 * ROW_LENGTH)


def make_model(path: Path, size_bytes: int, name: str) -> Path:
    """Write it in a process of its own: what this one holds at its largest would be counted as its children's memory.

    Args:
        name: two models of one size differ only by it, so only in their header.
    """
    process = get_context("spawn").Process(target=_write_model, args=(path, size_bytes, name))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{path} could not be written")
    return path


def _write_model(path: Path, size_bytes: int, name: str) -> None:
    import numpy as np
    from gguf import GGUFWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path, "llama")
    writer.add_name(name)
    for add in (writer.add_context_length, writer.add_embedding_length, writer.add_feed_forward_length):
        add(512)
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_chat_template("{{ messages }}")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"{number:040d}".encode() for number in range(32_000)])
    random = np.random.default_rng(7)
    block = random.integers(0, 255, TENSOR_BYTES, dtype=np.uint8).view(np.float32).reshape(-1, ROW_LENGTH)
    count = max(size_bytes // TENSOR_BYTES, 1)
    for number in range(count):
        writer.add_tensor_info(f"blk.{number}.weight", block.shape, block.dtype, block.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number in range(count):
        block[::ROWS_OF_A_MIB, 0] = number  # no stretch occurs twice: what does is packed once
        writer.write_tensor_data(block)
    writer.close()
