"""The demo model's network: a small Llama, in PyTorch, for training only.

In: token ids and positions. Out: logits, or the normalised hidden states that an embeddings request pools.
No I/O. Tensor names are the ones of GGUF, so that export.py renames nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. Every width is a multiple of 32, the block size of Q8_0."""

    vocabulary: int
    width: int = 192
    layers: int = 4
    heads: int = 3
    kv_heads: int = 1
    feed_forward: int = 512
    # llama.cpp's GPU flash attention knows head sizes from 64 up.
    head_size: int = 64
    context_length: int = 8192
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5


class Block(nn.Module):
    """One layer: grouped-query attention and a gated feed-forward part, both residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        query_width, kv_width = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(shape.width, query_width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(query_width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, hidden: Tensor, rotation: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        batch, tokens, _ = hidden.shape
        size = self.shape.head_size
        normed = self.attn_norm(hidden)
        query = self.attn_q(normed).view(batch, tokens, self.shape.heads, size).transpose(1, 2)
        key = self.attn_k(normed).view(batch, tokens, self.shape.kv_heads, size).transpose(1, 2)
        value = self.attn_v(normed).view(batch, tokens, self.shape.kv_heads, size).transpose(1, 2)
        groups = self.shape.heads // self.shape.kv_heads
        attended = functional.scaled_dot_product_attention(
            rotate(query, rotation),
            rotate(key, rotation).repeat_interleave(groups, dim=1),
            value.repeat_interleave(groups, dim=1),
            is_causal=True,
        )
        hidden = hidden + self.attn_output(attended.transpose(1, 2).reshape(batch, tokens, -1))
        normed = self.ffn_norm(hidden)
        gated = functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed)
        fed: Tensor = self.ffn_down(gated)
        return hidden + fed


class DemoNetwork(nn.Module):
    """The whole network; the output layer shares its weights with the token embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # Layers that write into the residual stream start smaller, as in GPT-2.
                residual = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(parameter, std=0.04 / (2 * shape.layers) ** 0.5 if residual else 0.04)

    def hidden_states(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Map ids and positions, both (batch, tokens), to (batch, tokens, width) after the last norm."""
        rotation = rotation_for(positions, self.shape)
        hidden = self.token_embd(ids)
        for block in self.blk:
            hidden = block(hidden, rotation)
        normed: Tensor = self.output_norm(hidden)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden states (n, width) to logits (n, vocabulary)."""
        return functional.linear(hidden, self.token_embd.weight)


def rotation_for(positions: Tensor, shape: Shape) -> Tensor:
    """Return the rotary angles as complex numbers of length 1: (batch, 1, tokens, head_size / 2)."""
    exponents = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
    angles = positions[:, None, :, None].float() / shape.rope_base**exponents
    return torch.polar(torch.ones_like(angles), angles)


def rotate(states: Tensor, rotation: Tensor) -> Tensor:
    """Apply rotary positions to neighbouring pairs.

    Pairs (0, 1), (2, 3)... are what llama.cpp rotates for the "llama" architecture, so the weights are
    written as they are; the split-half convention of other trainers would need a permutation.
    """
    pairs = torch.view_as_complex(states.float().view(*states.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotation).flatten(-2).to(states.dtype)
