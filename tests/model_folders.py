"""Small Hugging Face folders for tests; the weights are zeros."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def build_safetensors(shapes: Shapes, dtype: str = "BF16", element_bytes: int = 2) -> bytes:
    """A safetensors file of zeros, as the format's description has it."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        size = element_bytes
        for length in shape:
            size *= length
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    return wrap_header(json.dumps(table).encode(), bytes(end))


def wrap_header(header: bytes, data: bytes = b"") -> bytes:
    """The bytes of a file with this header."""
    padded = header + b" " * (-len(header) % 8)
    return len(padded).to_bytes(8, "little") + padded + data


def write_folder(
    path: Path,
    *,
    config: Mapping[str, Any] = CONFIG,
    shards: Mapping[str, Shapes] | None = None,
    template: str = TEMPLATE,
) -> Path:
    """Write a folder with a model in one file, or in these shards with their index."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(dict(config)))
    (path / "tokenizer.json").write_text("{}")
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template} if template else {}))
    for name, shapes in (shards or {"model.safetensors": {"embed": (100, 64)}}).items():
        (path / name).write_bytes(build_safetensors(shapes))
    if shards:
        places = {tensor: name for name, shapes in shards.items() for tensor in shapes}
        (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return path


TWO_SHARDS: Mapping[str, Shapes] = {
    "model-00001-of-00002.safetensors": {"embed": (100, 64)},
    "model-00002-of-00002.safetensors": {"head": (100, 64), "norm": (64,)},
}
