"""Writes the trained network and its tokenizer as one GGUF file, and reads the network back out of one.

In: network, tokenizer. Out: a Q8_0 file for llama.cpp's "llama" architecture, with chat template. Writes
or reads that file. Source: the GGUF specification, as the `gguf` package implements it.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from demo_model import NAME, VERSION
from demo_model.network import DemoNetwork, Shape
from demo_model.tokenizer import BEGIN_ID, CHAT_TEMPLATE, END_ID, PRE_TOKENIZER, SPECIAL_TOKENS, tables

DESCRIPTION = (
    "A very small model that proves that a stack works: it answers a fixed list of questions in English and "
    "Korean and is not useful for anything else."
)


def write_gguf(network: DemoNetwork, tokenizer: Tokenizer, path: Path) -> None:
    """Write `path`, replacing it. Matrices become Q8_0; norms stay float32."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_description(writer)
    _add_shape(writer, network)
    _add_tokenizer(writer, tokenizer)
    for name, parameter in network.named_parameters():
        values = parameter.detach().float().numpy().astype(np.float32)
        if values.ndim == 1:
            writer.add_tensor(name, values)
            continue
        quantised = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path) -> DemoNetwork:
    """Return the network of a file that `write_gguf` wrote, as exact as Q8_0 keeps it; exit on another file."""
    try:
        reader = gguf.GGUFReader(path)
        network = DemoNetwork(Shape(vocabulary=len(reader.fields["tokenizer.ggml.tokens"].contents())))
        weights = {t.name: torch.tensor(gguf.quants.dequantize(t.data, t.tensor_type)) for t in reader.tensors}
        network.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise SystemExit(
            f"{path} cannot be trained on: {said}; expected a demo model that this script wrote"
        ) from error
    return network


def _add_description(writer: gguf.GGUFWriter) -> None:
    writer.add_type("model")
    writer.add_name(NAME)
    writer.add_version(VERSION)
    writer.add_description(DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_languages(["en", "ko"])
    writer.add_tags(["demo", "test"])


def _add_shape(writer: gguf.GGUFWriter, network: DemoNetwork) -> None:
    shape = network.shape
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens, merges = tables(tokenizer)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in SPECIAL_TOKENS else normal for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(BEGIN_ID)
    writer.add_eos_token_id(END_ID)
    writer.add_eot_token_id(END_ID)
    writer.add_pad_token_id(END_ID)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
