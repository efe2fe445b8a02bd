"""A model's shape from the ``config.json`` of its Hugging Face folder. Pure.

In: text. Out: a ``FolderConfig``, in the words that GGUF has for the same facts, so that what is counted from one is
counted from the other. A model of text and pictures has the facts of its text under ``text_config``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_LAYERS: Final = 1024
MAX_FIGURE: Final = 1 << 40
# Keys of one fact in the order in which they count; older families have names of their own.
_LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS: Final = ("num_attention_heads", "n_head", "n_heads")
_WIDTH: Final = ("hidden_size", "n_embd", "d_model")
_CONTEXT: Final = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length")
_FEED_FORWARD: Final = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_GENERATORS: Final = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_SCORERS: Final = ("ForSequenceClassification",)
_MEAN, _RANK = 1, 4


class ConfigJsonError(ValueError):
    """A ``config.json`` that does not describe a model; the text says what was seen."""


@dataclass(frozen=True, slots=True)
class FolderConfig:
    """The shape of a model; 0 or empty where the file does not say.

    Attributes:
        model_type: the family, as transformers calls it: ``llama``, ``qwen3_moe``.
        architecture: class that implements the model, the first of ``architectures``.
        quantisation: method that the weights are quantised with, empty for none.
        context_length: tokens that the model was trained for.
        head_count_kv: KV heads of each layer; 0 for a layer that keeps no cache.
        key_length, value_length: elements of one head's key and value.
        windowed_layers: one value a layer, 1 where it attends to ``sliding_window`` tokens; empty where all see all.
        has_compressed_kv: whether attention is multi-head latent; then only keys of ``key_length`` are cached.
        pooling_type: how token vectors become one, in GGUF's numbers; None for a model that writes text.
        runs_own_code: whether the folder holds program code that the model wants to run.
    """

    model_type: str
    architecture: str
    quantisation: str = ""
    context_length: int = 0
    block_count: int = 0
    embedding_length: int = 0
    feed_forward_length: int = 0
    head_count: int = 0
    head_count_kv: tuple[int, ...] = ()
    key_length: int = 0
    value_length: int = 0
    sliding_window: int = 0
    windowed_layers: tuple[int, ...] = ()
    has_compressed_kv: bool = False
    vocab_size: int = 0
    pooling_type: int | None = None
    runs_own_code: bool = False


def parse_config(text: str) -> FolderConfig:
    """Read the facts of a ``config.json``.

    Raises:
        ConfigJsonError: the text is no JSON object, names no model, or a figure in it cannot be.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigJsonError(f"is no JSON: {error}") from None
    if not isinstance(whole, dict):
        raise ConfigJsonError("is no JSON object")
    model_type, architecture = _read_text(whole, "model_type"), _read_architecture(whole)
    if not model_type or not architecture:
        raise ConfigJsonError("names no model_type and architectures, so it describes no model")
    nested = whole.get("text_config")
    values = nested if isinstance(nested, dict) and not _read(whole, *_LAYERS) else whole
    return _build(model_type, architecture, whole, values)


def _build(model_type: str, architecture: str, whole: Mapping[str, Any], values: Mapping[str, Any]) -> FolderConfig:
    layers, heads, width = _read(values, *_LAYERS), _read(values, *_HEADS), _read(values, *_WIDTH)
    if not layers or layers > MAX_LAYERS:
        raise ConfigJsonError(f"says {layers} layers; expected 1 to {MAX_LAYERS}")
    latent = _read(values, "kv_lora_rank")
    head = _read(values, "head_dim") or (width // heads if heads else 0)
    kinds = values.get("layer_types")
    kinds = kinds if isinstance(kinds, list) and len(kinds) == layers else []
    window = _read(values, "sliding_window") if values.get("use_sliding_window") is not False else 0
    kv_heads = 1 if latent else _count_kv_heads(values, heads)
    return FolderConfig(
        model_type=model_type,
        architecture=architecture,
        quantisation=_read_quantisation(whole, values),
        context_length=_read(values, *_CONTEXT),
        block_count=layers,
        embedding_length=width,
        feed_forward_length=_read(values, *_FEED_FORWARD),
        head_count=heads,
        head_count_kv=tuple(0 if kind == "linear_attention" else kv_heads for kind in kinds or ("",) * layers),
        key_length=latent + _read(values, "qk_rope_head_dim") if latent else head,
        value_length=head,
        sliding_window=window,
        windowed_layers=tuple(int(kind == "sliding_attention") for kind in kinds) if window else (),
        has_compressed_kv=latent > 0,
        vocab_size=_read(values, "vocab_size"),
        pooling_type=_find_pooling(architecture),
        runs_own_code="auto_map" in whole,
    )


def _count_kv_heads(values: Mapping[str, Any], heads: int) -> int:
    if values.get("multi_query") is True:
        return 1
    return _read(values, "num_key_value_heads", "num_kv_heads", "n_head_kv") or heads


def _find_pooling(architecture: str) -> int | None:
    if architecture.endswith(_GENERATORS):
        return None
    return _RANK if architecture.endswith(_SCORERS) else _MEAN


def _read_architecture(values: Mapping[str, Any]) -> str:
    named = values.get("architectures")
    return named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""


def _read_quantisation(*places: Mapping[str, Any]) -> str:
    for values in places:
        found = values.get("quantization_config")
        if isinstance(found, dict):
            return _read_text(found, "quant_method") or "quantised"
    return ""


def _read_text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


def _read(values: Mapping[str, Any], *keys: str) -> int:
    """The first of these keys that holds a number; 0 where none does.

    Raises:
        ConfigJsonError: the number is negative or beyond what any model has.
    """
    for key in keys:
        value = values.get(key)
        if type(value) is int:
            if not 0 <= value <= MAX_FIGURE:
                raise ConfigJsonError(f"says {key} {value}; expected 0 to {MAX_FIGURE}")
            return value
    return 0
