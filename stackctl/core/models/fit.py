"""How much memory a model needs and the largest context that fits, from the facts of its GGUF header.

In: a ``GGUFHeader``, the context of one slot, slots, element type of the KV cache, bytes available. Out: a
``Fit`` with the bytes of each part. Pure. Where an architecture is not fully understood the figure is rounded
up and a note says so: a model that is said to fit must load.

Weights and KV cache are exact for the engine's usual layout (checked against the buffer sizes that llama.cpp
logs); the compute buffer is an estimate from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.kv_cache import CONTEXT_STEP, MICRO_BATCH, build_cache_cost, round_up_context

MIB: Final = 1 << 20
GIB: Final = 1 << 30
# The gateway with one worker held 311 MiB.
GATEWAY_BYTES: Final = 400 * MIB

MAX_DEFAULT_CONTEXT: Final = 8192
BASE_MARGIN_BYTES: Final = 256 * MIB
# What a CUDA context takes before the first tensor: 300 to 500 MiB by card and driver.
GPU_CONTEXT_BYTES: Final = 512 * MIB
MARGIN_PERCENT: Final = 5
# vLLM's processes with PyTorch in each: 3.2 GB with a model of next to no size.
VLLM_PROCESS_BYTES: Final = 3 * GIB
# Tokens that vLLM works on at once, and what it keeps for captured graphs on a GPU.
VLLM_BATCH: Final = 8192
VLLM_GRAPH_BYTES: Final = 1 * GIB


@dataclass(frozen=True, slots=True)
class Fit:
    """Bytes that a model needs on one device, by part, against the bytes available there.

    Attributes:
        context_length: tokens of each slot.
        kv_bytes: bytes of the KV cache, and of recurrent state where the architecture has one, for all slots.
        margin_bytes: bytes kept free for the driver, the allocator and other processes.
        notes: what was counted from above, one sentence each.
    """

    context_length: int
    slots: int
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    margin_bytes: int
    available_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def used_bytes(self) -> int:
        """Bytes that the engine will hold, without the margin."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes

    @property
    def needed_bytes(self) -> int:
        """Bytes that must be free."""
        return self.used_bytes + self.margin_bytes

    @property
    def fits(self) -> bool:
        """Whether the model can be started with some room left."""
        return self.needed_bytes <= self.available_bytes

    def render_text(self) -> str:
        """The sum in words: ``8.2 GiB needed (weights 4.6, KV cache 3.1, compute 0.3, margin 0.2) of 6.0 GiB``."""
        parts = {
            "weights": self.weights_bytes,
            "KV cache": self.kv_bytes,
            "compute": self.compute_bytes,
            "margin": self.margin_bytes,
        }
        listed = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
        needed, available = self.needed_bytes / GIB, self.available_bytes / GIB
        return f"{needed:.1f} GiB needed ({listed}) of {available:.1f} GiB"


@dataclass(frozen=True, slots=True)
class Device:
    """The GPU or the host's memory that a model is to be on.

    Attributes:
        available_bytes: free memory of the device, in bytes.
        is_gpu: whether the driver's own share counts too.
        gpu_layers: how many layers go to a GPU; None for all.
    """

    available_bytes: int
    is_gpu: bool = False
    gpu_layers: int | None = None

    def share(self, layers: int) -> int:
        """How many of ``layers`` the device holds."""
        if not self.is_gpu or self.gpu_layers is None:
            return layers
        return min(max(self.gpu_layers, 0), layers)


def build_fit(header: GGUFHeader, context_length: int, slots: int, device: Device, kv_cache_type: str = "f16") -> Fit:
    """Count the bytes that a model needs on one device.

    Args:
        header: header of the whole model (``merge_shards`` makes that of a split one).
        context_length: tokens of each slot, >= 1.
        slots: number of slots, >= 1; each has a cache of its own.

    Raises:
        ConfigError: the KV cache type is unknown.
    """
    cost = build_cache_cost(header, kv_cache_type)
    # The engine counts the output layer as one more layer.
    layers = header.block_count + 1
    part = device.share(layers)
    weights = _share(header.tensor_bytes, part, layers)
    kv_bytes = _share(cost.compute_bytes(context_length, slots), part, layers)
    driver = GPU_CONTEXT_BYTES if device.is_gpu else 0
    if header.is_folder and not device.is_gpu:
        driver = VLLM_PROCESS_BYTES
    return Fit(
        context_length=context_length,
        slots=slots,
        weights_bytes=weights,
        kv_bytes=kv_bytes,
        compute_bytes=_estimate_compute_bytes(header, context_length, slots),
        margin_bytes=BASE_MARGIN_BYTES + driver + (weights + kv_bytes) * MARGIN_PERCENT // 100,
        available_bytes=device.available_bytes,
        notes=cost.notes,
    )


def largest_context(header: GGUFHeader, slots: int, device: Device, kv_cache_type: str = "f16") -> int:
    """The largest context of each slot that fits, at most what the model was trained for.

    Returns:
        Tokens, a multiple of 256 (or the training context itself where that is none); 0 if not even 256 fit.
    """

    def fits(context_length: int) -> bool:
        return build_fit(header, context_length, slots, device, kv_cache_type).fits

    trained = header.context_length or MAX_DEFAULT_CONTEXT
    if fits(trained):
        return trained
    # Memory grows with the context, so halving finds the largest step that fits.
    low, high = 0, trained // CONTEXT_STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * CONTEXT_STEP) else (low, middle - 1)
    return low * CONTEXT_STEP


def default_context(header: GGUFHeader, largest: int | None = None) -> int:
    """Tokens of each slot when nobody chose: the training context, at most 8192 and at most ``largest``.

    Args:
        largest: the context that ``largest_context`` found; None or 0 where memory is unknown or nothing fits.
    """
    limits = [header.context_length or MAX_DEFAULT_CONTEXT, MAX_DEFAULT_CONTEXT]
    return min(limits + ([largest] if largest else []))


def _estimate_compute_bytes(header: GGUFHeader, context_length: int, slots: int) -> int:
    """Bytes of work memory for one micro-batch: attention mask, activations and one row of logits for each slot.

    The factors lie above what llama.cpp reserved for Llama shapes of 512 to 2048 wide and 8k to 64k tokens
    with flash attention, its default.
    """
    if header.is_folder:
        return estimate_vllm_bytes(header, slots)
    experts = header.expert_used_count * header.expert_feed_forward_length
    feed_forward = max(header.feed_forward_length, experts)
    mask = round_up_context(context_length) * MICRO_BATCH * 4
    activations = MICRO_BATCH * 4 * (4 * header.embedding_length + 5 * feed_forward)
    return mask + activations + slots * header.vocab_size * 4


def estimate_vllm_bytes(header: GGUFHeader, slots: int) -> int:
    """Bytes that vLLM takes beside weights and KV cache, from above: activations of a batch, logits, graphs."""
    activations = VLLM_BATCH * 2 * (4 * header.embedding_length + 3 * header.feed_forward_length)
    return activations + slots * header.vocab_size * 8 + VLLM_GRAPH_BYTES


def _share(size: int, part: int, whole: int) -> int:
    return -(-size * part // whole)
