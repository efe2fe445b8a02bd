"""Small GGUF files for tests, written by llama.cpp's own ``gguf`` package; the weights are zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np

from stackctl.core.models.gguf import GGUFHeader

Extra = Callable[[gguf.GGUFWriter], None]


def write_model(
    path: Path,
    *,
    architecture: str = "llama",
    layers: int = 2,
    embedding: int = 64,
    heads: int = 4,
    heads_kv: int | list[int] = 2,
    feed_forward: int = 128,
    vocabulary: int = 100,
    context: int = 512,
    template: str = "{{ messages }}",
    file_type: int | None = 0,
    extra: Extra | None = None,
) -> Path:
    """Write a Llama-shaped model; ``extra`` adds further keys."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(embedding)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads_kv)
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token{index}" for index in range(vocabulary)])
    if template:
        writer.add_chat_template(template)
    if extra:
        extra(writer)
    writer.add_tensor("token_embd.weight", np.zeros((vocabulary, embedding), np.float32))
    for layer in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.zeros((embedding, embedding), np.float16))
    _finish(writer)
    return path


def build_header(**changes: object) -> GGUFHeader:
    """A header of the shape of an 8B Llama 3: 32 layers, 8 KV heads of 128."""
    header = GGUFHeader(
        version=3,
        architecture="llama",
        name="",
        quantisation="Q4_K_M",
        size_bytes=4_900_000_000,
        expected_bytes=4_900_000_000,
        tensor_bytes=4_900_000_000,
        tensor_count=291,
        parameter_count=8_030_000_000,
        context_length=131_072,
        block_count=32,
        embedding_length=4096,
        feed_forward_length=14_336,
        head_count=32,
        head_count_kv=(8,),
        key_length=128,
        value_length=128,
        key_length_swa=128,
        value_length_swa=128,
        vocab_size=128_256,
        has_chat_template=True,
    )
    return replace(header, **changes)  # type: ignore[arg-type]


def write_shards(folder: Path, count: int, stem: str = "chat", announced: int = 0) -> list[Path]:
    """Write a split model; only its first shard has the model's facts, as llama.cpp splits it.

    Args:
        announced: tensors that the shards claim to hold together, if not one for each.
    """
    paths = [folder / f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        writer = gguf.GGUFWriter(path, "llama")
        if number == 0:
            writer.add_context_length(4096)
            writer.add_block_count(2)
            writer.add_chat_template("{{ messages }}")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", announced or count)
        writer.add_tensor(f"blk.{number}.weight", np.zeros((4, 32), np.float32))
        _finish(writer)
    return paths


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
