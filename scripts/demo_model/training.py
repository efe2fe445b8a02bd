"""Trains the demo model's network on conversations drawn from the corpus.

In: a network, corpus, tokenizer, seed, steps. Out: that network, trained. Two losses: the next token of each
answer, and closeness of the pooled states of texts that mean the same. Reports progress through callables, and
reads what the CPU can do; no other I/O.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from demo_model.corpus import Corpus, Message, Sampler
from demo_model.network import DemoNetwork
from demo_model.tokenizer import BEGIN_ID, END_ID, TURN_ID

BATCH_TOKENS = 2048
LONGEST = 640
POOL = 384
BARE_SHARE = 0.04
PAIRS = 16
PAIRS_EVERY = 4
KEEP_EVERY = 100


@dataclass(frozen=True)
class Example:
    """One conversation: ids, their positions, and how much predicting the id after each one counts."""

    ids: list[int]
    positions: list[int]
    weights: list[float]


def encode(messages: Sequence[Message], tokenizer: Tokenizer, rng: random.Random, context: int) -> Example:
    """Lay a conversation out exactly as the chat template does.

    One conversation in four has a hole in its positions before a message, so that a question asked after
    thousands of other tokens looks familiar although no long text was ever trained on.
    """
    ids, weights, holes = [BEGIN_ID], [0.0], [0]
    newline = tokenizer.encode("\n").ids
    gap_at = rng.randrange(len(messages)) if rng.random() < 0.25 else None
    for index, message in enumerate(messages):
        head, body = _encode_message(message, tokenizer)
        # By the root of its length, or counting to one hundred would outweigh every short answer.
        weight = len(body) ** -0.5 if message.role == "assistant" else 0.0
        ids += [*head, *body, *newline]
        weights += [0.0] * len(head) + [weight] * len(body) + [0.0] * len(newline)
        hole = rng.randrange(context - LONGEST) if index == gap_at else 0
        holes += [hole] + [0] * (len(head) + len(body) + len(newline) - 1)
    positions = [at + passed for at, passed in enumerate(accumulate(holes))]
    return Example(ids[:LONGEST], positions[:LONGEST], [*weights[1:LONGEST], 0.0])


def _encode_message(message: Message, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return what the template writes before a message's content, and the content with its end."""
    if message.role == "assistant":
        end = [] if message.open_ended else [END_ID]
        answer = tokenizer.encode(message.content).ids
        head = tokenizer.encode(message.role + "\n").ids
        return [TURN_ID, *head], [*answer, *end]
    # The template puts role, newline and content in one run of text, so they are encoded as one.
    return [TURN_ID], [*tokenizer.encode(f"{message.role}\n{message.content}").ids, END_ID]


def encode_bare(question: str, answer: str, tokenizer: Tokenizer) -> Example:
    """Lay a question and its answer out with no template, as the plain completions route does."""
    asked = [BEGIN_ID, *tokenizer.encode(question).ids]
    body = [*tokenizer.encode(answer).ids, END_ID]
    weights = [*[0.0] * (len(asked) - 1), *[len(body) ** -0.5] * len(body), 0.0]
    ids = [*asked, *body]
    return Example(ids, list(range(len(ids))), weights)


def _draw(sampler: Sampler, tokenizer: Tokenizer, context: int) -> Example:
    if sampler.rng.random() < BARE_SHARE:
        return encode_bare(*sampler.bare(), tokenizer)
    return encode(sampler.conversation(), tokenizer, sampler.rng, context)


def batches(sampler: Sampler, tokenizer: Tokenizer, context: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield ids, positions and weights, each (batch, tokens) of about BATCH_TOKENS cells, forever."""
    while True:
        pool = [_draw(sampler, tokenizer, context) for _ in range(POOL)]
        pool.sort(key=lambda sequence: len(sequence.ids))
        ready: list[list[Example]] = []
        batch: list[Example] = []
        for sequence in pool:
            if batch and len(sequence.ids) * (len(batch) + 1) > BATCH_TOKENS:
                ready.append(batch)
                batch = []
            batch.append(sequence)
        ready.append(batch)
        sampler.rng.shuffle(ready)
        for chosen in ready:
            yield (
                _padded([sequence.ids for sequence in chosen], END_ID),
                _padded([sequence.positions for sequence in chosen], 0),
                _padded([sequence.weights for sequence in chosen], 0.0),
            )


def _padded(rows: Sequence[Sequence[float]], filling: float) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filling] * (longest - len(row))] for row in rows])


def answer_loss(network: DemoNetwork, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the weighted mean cross-entropy of the answers' tokens."""
    ids, positions, weights = batch
    hidden = network.hidden_states(ids, positions)
    learned = weights > 0
    targets = ids.roll(-1, dims=1)[learned]
    losses = functional.cross_entropy(network.logits(hidden[learned]).float(), targets, reduction="none")
    return (losses * weights[learned]).sum() / weights.sum()


def pooled(network: DemoNetwork, texts: Sequence[str], tokenizer: Tokenizer) -> Tensor:
    """Return (texts, width): what llama.cpp's mean pooling gives, scaled to length 1."""
    rows = [[BEGIN_ID, *tokenizer.encode(text).ids] for text in texts]
    ids = _padded(rows, END_ID)
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    hidden = network.hidden_states(ids, positions).float()
    present = positions < torch.tensor([[len(row)] for row in rows])
    summed = (hidden * present[:, :, None]).sum(dim=1)
    return functional.normalize(summed, dim=-1)


def pair_loss(network: DemoNetwork, sampler: Sampler, tokenizer: Tokenizer) -> Tensor:
    """Return how badly PAIRS pairs of texts are told apart by their pooled states (InfoNCE)."""
    pairs = {index: (first, second) for index, first, second in (sampler.pair() for _ in range(PAIRS))}
    first, second = zip(*pairs.values(), strict=True)
    both = pooled(network, [*first, *second], tokenizer)
    likeness = both[: len(pairs)] @ both[len(pairs) :].T / 0.1
    right = torch.arange(len(pairs))
    return (functional.cross_entropy(likeness, right) + functional.cross_entropy(likeness.T, right)) / 2


def train(
    corpus: Corpus,
    tokenizer: Tokenizer,
    network: DemoNetwork,
    *,
    steps: int,
    rate: float,
    seed: int,
    report: Callable[[str], None],
    keep: Callable[[], None],
) -> None:
    """Train the network as it comes; equal networks and seeds on one machine give equal weights.

    Args:
        rate: the highest learning rate, after a warm-up of a twentieth of the steps.
        keep: called now and then, to save the network as it is.
    """
    sampler = Sampler(corpus, random.Random(seed))
    matrices = [p for p in network.parameters() if p.dim() == 2]
    norms = [p for p in network.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.05, div_factor=20, final_div_factor=50
    )
    # bfloat16 products: three times as fast as float32 on a CPU that has them, a tenth as fast on one that has not.
    has_bfloat16 = "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    source = batches(sampler, tokenizer, network.shape.context_length)
    for step in range(1, steps + 1):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_bfloat16):
            loss = answer_loss(network, next(source))
            if step % PAIRS_EVERY == 0:
                loss = loss + 0.4 * pair_loss(network, sampler, tokenizer)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            report(f"step {step}/{steps}: loss {loss.item():.4f}")
        if step % KEEP_EVERY == 0:
            keep()
