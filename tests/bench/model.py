"""A model of a size worth measuring: random weights, the demo model's tokenizer, no end of answer before the limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import quantize

LAYERS, WIDTH, HEADS, FEED_FORWARD, CONTEXT = 12, 1024, 16, 2816, 8192


def make_model(demo: Path, out: Path) -> Path:
    """Write the model, about 160 MB of Q8_0, unless it is there; the same bytes every time."""
    if out.is_file():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    reader = GGUFReader(demo)
    vocabulary = len(reader.fields["tokenizer.ggml.tokens"].data)
    partial = out.with_suffix(".tmp")
    writer = GGUFWriter(partial, "llama")
    _add_shape(writer, vocabulary)
    _add_tokenizer(writer, reader)
    _add_tensors(writer, vocabulary)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(out)
    return out


def _add_shape(writer: GGUFWriter, vocabulary: int) -> None:
    writer.add_name("benchmark, random weights")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(vocabulary)


def _add_tokenizer(writer: GGUFWriter, reader: GGUFReader) -> None:
    for name, field in reader.fields.items():
        if name.startswith("tokenizer."):
            kind = field.types[0]
            part = field.types[-1] if kind is GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=part)


def _add_tensors(writer: GGUFWriter, vocabulary: int) -> None:
    random = np.random.default_rng(7)
    _add(writer, "token_embd.weight", random, vocabulary, WIDTH)
    _add(writer, "output.weight", random, vocabulary, WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for matrix in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _add(writer, f"blk.{layer}.{matrix}.weight", random, WIDTH, WIDTH)
        for matrix in ("ffn_gate", "ffn_up"):
            _add(writer, f"blk.{layer}.{matrix}.weight", random, FEED_FORWARD, WIDTH)
        _add(writer, f"blk.{layer}.ffn_down.weight", random, WIDTH, FEED_FORWARD)
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, np.float32))


def _add(writer: GGUFWriter, name: str, random: np.random.Generator, rows: int, columns: int) -> None:
    weights = random.standard_normal((rows, columns), dtype=np.float32) * 0.02
    packed = quantize(weights, GGMLQuantizationType.Q8_0)
    writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
