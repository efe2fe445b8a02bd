"""How much host memory an engine keeps the prompts of past requests in. Pure.

In: what was asked for, the model's shape, the machine's memory. Out: MiB, 0 for no cache. A cache that holds fewer
conversations than there are slots costs half of the throughput and brings nothing, so there is none in between.

Source: docs/decisions/prompt-cache.md for the rule and its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stackctl.core.models.fit import MIB, Device, build_fit
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.kv_cache import build_cache_cost
from stackctl.core.text.sizes import parse_size_bytes

AUTO: Final = "auto"
# The people of a small team, each in one long conversation.
CONVERSATIONS: Final = 8
# Of what the models leave of the machine's memory.
LARGEST_SHARE: Final = 4


def choose_prompt_cache(wanted: str, entry_bytes: int, slots: int, free_bytes: int) -> int:
    """The size of one engine's prompt cache in MiB.

    Args:
        wanted: ``auto``, or a size as ``parse_size_bytes`` reads it.
        entry_bytes: bytes of one conversation that fills its context.
        slots: requests at the same time: so many conversations stay where they are without a cache.
        free_bytes: this engine's part of the machine's memory beside the models, as ``share_free_bytes`` gives it.
    """
    if wanted != AUTO:
        return _read_mib(wanted)
    if slots >= CONVERSATIONS:
        return 0
    needed = CONVERSATIONS * entry_bytes
    return -(-needed // MIB) if needed <= free_bytes // LARGEST_SHARE else 0


def share_free_bytes(free_bytes: int, wanted: Sequence[tuple[str, int]]) -> int:
    """Bytes that one engine may call free where others take their prompt caches from the same memory.

    Args:
        free_bytes: bytes of the machine's memory beside the models.
        wanted: wanted size of each chat model's cache, as ``choose_prompt_cache`` takes it, and its slots.
    """
    left = free_bytes - sum(_read_mib(size) * MIB for size, _ in wanted if size != AUTO)
    sharers = sum(size == AUTO and slots < CONVERSATIONS for size, slots in wanted)
    return max(left, 0) // max(sharers, 1)


def _read_mib(size: str) -> int:
    return -(-parse_size_bytes(size) // MIB)


def count_entry_bytes(header: GGUFHeader, context_length: int, kv_cache_type: str) -> int:
    """Bytes of one conversation that fills its context: a slot's share of the KV cache."""
    return build_cache_cost(header, kv_cache_type).compute_bytes(context_length, 1)


def count_free_bytes(memory_bytes: int, models: Sequence[tuple[GGUFHeader, int, int]], kv_cache_type: str) -> int:
    """Bytes of the machine's memory that the models leave when the CPU computes them all.

    Args:
        memory_bytes: memory of the machine; 0 where it is not known.
        models: header, context of a slot and number of slots of each model.
    """
    used = (build_fit(header, context, slots, Device(0), kv_cache_type) for header, context, slots in models)
    return max(memory_bytes - sum(fit.used_bytes for fit in used), 0)
