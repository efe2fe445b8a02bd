"""What a KV cache costs in bytes, from the shape of the model. Pure.

In: a ``GGUFHeader`` and the element type of the cache. Out: a ``CacheCost``. The figures equal the buffer
sizes that llama.cpp logs for plain, grouped and windowed attention; where an architecture is not fully
understood they are rounded up and a note says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.gguf_tables import (
    PURELY_RECURRENT_ARCHITECTURES,
    RECURRENT_ARCHITECTURES,
    SLIDING_WINDOW_PERIODS,
    UNCACHED_ARCHITECTURES,
)
from stackctl.errors import ConfigError

# The engine rounds each slot's context up to this many tokens.
CONTEXT_STEP: Final = 256
# Tokens that the engine works on at once (its --ubatch-size).
MICRO_BATCH: Final = 512

# KV cache type -> (elements in a block, bytes of a block).
KV_CACHE_TYPES: Final = MappingProxyType(
    {
        "f32": (1, 4),
        "f16": (1, 2),
        "bf16": (1, 2),
        "q8_0": (32, 34),
        "q5_1": (32, 24),
        "q5_0": (32, 22),
        "q4_1": (32, 20),
        "q4_0": (32, 18),
        "iq4_nl": (32, 18),
    }
)


@dataclass(frozen=True, slots=True)
class CacheCost:
    """What a KV cache costs: bytes for each token, for each token within a window, and for each slot.

    Attributes:
        token_bytes: bytes for every token of the context.
        window_bytes: bytes for every token of the context up to ``window`` tokens.
        slot_bytes: bytes for every slot, whatever its context.
    """

    token_bytes: int = 0
    window_bytes: int = 0
    window: int = 0
    slot_bytes: int = 0
    notes: tuple[str, ...] = ()

    def compute_bytes(self, context_length: int, slots: int) -> int:
        """Bytes for all slots together; the context is rounded up as the engine does."""
        cells = round_up_context(context_length)
        window_cells = min(cells, self.window)
        return slots * (self.token_bytes * cells + self.window_bytes * window_cells + self.slot_bytes)


def build_cache_cost(header: GGUFHeader, kv_cache_type: str = "f16") -> CacheCost:
    """Count the cache's bytes by token, by token within the sliding window, and by slot.

    Raises:
        ConfigError: the KV cache type is unknown.
    """
    if kv_cache_type not in KV_CACHE_TYPES:
        known = ", ".join(KV_CACHE_TYPES)
        raise ConfigError(f"the KV cache type '{kv_cache_type}' is unknown, expected one of {known}", "use f16")
    if header.is_folder:  # vLLM keeps its cache in the model's own type, of two bytes
        kv_cache_type = "f16"
    if header.architecture in UNCACHED_ARCHITECTURES:
        return CacheCost()
    token_bytes = window_bytes = 0
    for layer in range(header.block_count):
        if not _has_kv(header, layer):
            continue
        if _is_windowed(header, layer):
            window_bytes += _row_bytes(header, layer, kv_cache_type, windowed=True)
        else:
            token_bytes += _row_bytes(header, layer, kv_cache_type, windowed=False)
    recurrent = header.architecture in RECURRENT_ARCHITECTURES or header.state_bytes_per_layer > 0
    return CacheCost(
        token_bytes=token_bytes,
        window_bytes=window_bytes,
        # A slot keeps the window and what it is working on, in steps as for the context.
        window=round_up_context(header.sliding_window + MICRO_BATCH),
        slot_bytes=header.state_bytes_per_layer * header.block_count if recurrent else 0,
        notes=_build_notes(header, has_window=window_bytes > 0),
    )


def _row_bytes(header: GGUFHeader, layer: int, kv_cache_type: str, *, windowed: bool) -> int:
    """Bytes of one token's keys and values in one layer."""
    heads = _kv_heads(header, layer)
    key = header.key_length_swa if windowed else header.key_length
    value = header.value_length_swa if windowed else header.value_length
    elements, size = KV_CACHE_TYPES[kv_cache_type]
    rows = (heads * key,) if header.has_compressed_kv else (heads * key, heads * value)
    return sum(-(-row // elements) * size for row in rows)


def _kv_heads(header: GGUFHeader, layer: int) -> int:
    """Heads of one layer; the largest of all where the array does not cover the layer."""
    heads = header.head_count_kv
    return heads[layer] if len(heads) == header.block_count else max(heads, default=0)


def _has_kv(header: GGUFHeader, layer: int) -> bool:
    if header.architecture in PURELY_RECURRENT_ARCHITECTURES:
        return False
    if layer >= header.block_count - header.shared_kv_layers:
        return False
    interval = header.full_attention_interval
    return interval <= 1 or (layer + 1) % interval == 0


def _is_windowed(header: GGUFHeader, layer: int) -> bool:
    """Whether the layer keeps only its window; unknown patterns count as no window."""
    if not header.sliding_window:
        return False
    if len(header.swa_pattern) == header.block_count > 1:
        return bool(header.swa_pattern[layer])
    period = SLIDING_WINDOW_PERIODS.get(header.architecture, 1)
    if header.architecture in SLIDING_WINDOW_PERIODS and len(header.swa_pattern) == 1:
        period = header.swa_pattern[0]
    return period == 0 or layer % period < period - 1


def _build_notes(header: GGUFHeader, *, has_window: bool) -> tuple[str, ...]:
    notes = []
    if header.sliding_window and not has_window:
        notes.append("sliding-window layers are counted with the whole context")
    if header.has_compressed_kv:
        notes.append("compressed KV (MLA) is counted by the length of its keys")
    hybrid = header.architecture in RECURRENT_ARCHITECTURES - PURELY_RECURRENT_ARCHITECTURES
    if hybrid and header.full_attention_interval <= 1 and 0 not in header.head_count_kv:
        notes.append("recurrent layers are counted as if they had a KV cache")
    if not header.is_known:
        notes.append(f"the architecture '{header.architecture}' is unknown, so it is counted as a plain one")
    return tuple(notes)


def round_up_context(tokens: int) -> int:
    """Tokens that the engine sets aside for a context of ``tokens``."""
    return -(-tokens // CONTEXT_STEP) * CONTEXT_STEP
