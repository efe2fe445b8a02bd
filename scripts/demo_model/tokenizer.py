"""The demo model's tokenizer: byte-level BPE, trained on the corpus.

In: texts. Out: a tokenizer whose ids llama.cpp reproduces with its "smollm" pre-tokenizer (each digit by
itself, then GPT-2's word pattern). Reads a GGUF file in `load_tokenizer`; no other I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import gguf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

BEGIN, TURN, END = "<|begin|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (BEGIN, TURN, END)
BEGIN_ID, TURN_ID, END_ID = range(3)
PRE_TOKENIZER = "smollm"

# ChatML, so that an engine that guesses templates from their look guesses right. A role that the model was
# not trained on (a tool's answer) reads as the user's; content that is a list of parts keeps its text.
CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- set role = 'user' %}"
    "{%- if message['role'] == 'assistant' %}{%- set role = 'assistant' %}"
    "{%- elif message['role'] in ['system', 'developer'] %}{%- set role = 'system' %}{%- endif %}"
    "{{- '<|im_start|>' + role + '\\n' }}"
    "{%- if message['content'] is string %}{{- message['content'] }}"
    "{%- elif message['content'] %}"
    "{%- for part in message['content'] %}{%- if part['text'] is string %}{{- part['text'] }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def build_tokenizer(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """Make the tokenizer from its tables; the special tokens never arise from text."""
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    _set_pieces(tokenizer)
    return tokenizer


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn at most `size` tokens: the special ones, the 256 bytes, then merges seen at least twice."""
    tokenizer = Tokenizer(models.BPE())
    _set_pieces(tokenizer)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_tokenizer(model: Path) -> Tokenizer:
    """Read the tokenizer back out of a GGUF file."""
    reader = gguf.GGUFReader(model)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    return build_tokenizer({token: i for i, token in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges])


def _set_pieces(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()


def tables(tokenizer: Tokenizer) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the tokens by id, and the merges in order."""
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=lambda token: int(model["vocab"][token]))
    return tokens, [(first, second) for first, second in model["merges"]]
