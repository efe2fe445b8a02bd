"""Write a tiny Llama with random weights as a Hugging Face folder: ``tiny_llama.py FOLDER``.

Run by the Python of the environment that has vLLM, whose transformers and tokenizers make every file of the folder.
"""

from __future__ import annotations

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<s>", "</s>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role if message.role == 'assistant' else 'user' }}|>"
    "{{ message.content }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SEED = 7


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        chat_template=CHAT_TEMPLATE,
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )


def main(folder: str) -> None:
    """Write the folder, its weights in several shards."""
    tokenizer = build_tokenizer()
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="300KB")
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
