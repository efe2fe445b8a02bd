"""A model for tests that really calls tools: a GGUF file of one megabyte, made by hand in a second.

Its weights are a table of which token follows which, so it says what that table says: attention and feed-forward are
zeros, a token's embedding is one number of a row of the table, and ``output.weight`` is the table. What comes last in
the prompt decides, and the chat template chooses that: with tools, and as long as no result of one is there, it is a
token that ``<tool_call>`` follows. llama.cpp's grammar then lets only a valid call of a given tool through, and the
table prefers what ends texts, lists and objects. Everything else is answered with "pong".

At temperature 0 there is one call; at 1 another may follow each. ``FOREVER`` in the last message makes an answer of
"tick tock" without end. The thinking model thinks one word first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

REPOSITORY = Path(__file__).parents[1]
CONTEXT = 262_144
ANSWER, THOUGHT, FOREVER = "pong", "hm", "Tick forever"
PIECES = (" tick", " tock")
# Tools that are called first where a request has them, and harmless with empty arguments: those of coding agents.
FAVOURITES = ("Read", "exec_command", "shell", "read")

# Enough rows for the tokens that something certain follows; a head of the usual size.
WIDTH = 64
CALL, CALL_END, THINK, THINK_END = "<tool_call>", "</tool_call>", "<think>", "</think>"
END, LINE = "<|im_end|>", "Ċ"  # the latter is a line end as byte-level BPE writes it
# What the template ends a prompt with beside a line end: to call a tool, to tick; to call or answer without a thought.
TO_CALL, TO_TICK, TO_CALL_AT_ONCE, TO_ANSWER_AT_ONCE = "\n\n", "\n \n", "\n\t\n", "\n\t"
# A thought that a call follows is written in halves of the same words, as each token must say what comes next.
HALVES = ("<th", "ink>", " hm", "</thi", "nk>")

# Natural logarithms: a step of 20 leaves nothing to chance at temperature 1.
_CERTAIN, _STEP = 400.0, 20.0
# What follows where the table has no row, best first: whatever ends something, and only then what begins something.
_PREFERRED = (END, "}", "]", '"', CALL_END, ":", "0", *FAVOURITES, "{", "[", ",")


class ToolModel:
    """The tokens, the table and the template of one model.

    Args:
        thinks: whether it thinks before it answers, unless ``enable_thinking`` is false.
    """

    def __init__(self, thinks: bool) -> None:
        self.thinks = thinks
        self._demo = gguf.GGUFReader(REPOSITORY / "models" / "demo.gguf")

    @cached_property
    def tokens(self) -> list[str]:
        """The demo model's tokens, then our own."""
        own = [CALL, CALL_END, THINK, THINK_END, ANSWER, THOUGHT]
        own += [TO_CALL, TO_TICK, TO_CALL_AT_ONCE, TO_ANSWER_AT_ONCE]
        # The demo model has some of the words.
        return list(dict.fromkeys([*self._read("tokens"), *own, *HALVES, *PIECES, *FAVOURITES]))

    @property
    def follows(self) -> Mapping[str, tuple[str, ...]]:
        """Token to what follows it, almost equally likely, the first at temperature 0."""
        tick, tock = PIECES
        chain = {TO_CALL: HALVES[:1], **{one: (other,) for one, other in pairwise((*HALVES, CALL))}}
        return {
            LINE: (THINK if self.thinks else ANSWER,),
            **(chain if self.thinks else {TO_CALL: (CALL,)}),
            TO_CALL_AT_ONCE: (CALL,),
            TO_ANSWER_AT_ONCE: (ANSWER,),
            CALL: (LINE,),
            CALL_END: (END, CALL),
            THINK: (THOUGHT,),
            THOUGHT: (THINK_END,),
            THINK_END: (ANSWER,),
            ANSWER: (END,),
            TO_TICK: (tick,),
            tick: (tock,),
            tock: (tick,),
            '"': ('"', "a"),  # a text ends as soon as it may
            "a": ('"', "a"),
        }

    def write(self, path: Path) -> Path:
        """Write the file."""
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_name("a model for tests that calls tools")
        writer.add_vocab_size(len(self.tokens))
        writer.add_context_length(CONTEXT)
        writer.add_embedding_length(WIDTH)
        writer.add_block_count(1)
        writer.add_feed_forward_length(WIDTH)
        writer.add_head_count(1)
        writer.add_head_count_kv(1)
        writer.add_rope_dimension_count(WIDTH)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        self._add_tokenizer(writer)
        self._add_weights(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _read(self, name: str) -> list[str]:
        found: list[str] = self._demo.fields[f"tokenizer.ggml.{name}"].contents()
        return found

    def _add_tokenizer(self, writer: gguf.GGUFWriter) -> None:
        types = [int(kind) for kind in self._read("token_type")]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(self.tokens)
        writer.add_token_types(types + [int(gguf.TokenType.USER_DEFINED)] * (len(self.tokens) - len(types)))
        writer.add_token_merges(self._read("merges"))
        writer.add_bos_token_id(0)
        for add in (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_pad_token_id):
            add(self.tokens.index(END))
        writer.add_add_bos_token(True)
        writer.add_chat_template(build_template(self.thinks))

    def _add_weights(self, writer: gguf.GGUFWriter) -> None:
        places = {token: place for place, token in enumerate(self.tokens)}
        embeddings = np.zeros((len(places), WIDTH), np.float32)
        output = np.zeros((len(places), WIDTH), np.float32)
        embeddings[:, 0] = 1
        for rank, token in enumerate(reversed(_PREFERRED)):
            output[places[token]] = (rank + 1) * _STEP
        for row, (token, followers) in enumerate(self.follows.items(), start=1):
            embeddings[places[token], 0], embeddings[places[token], row] = 0, 1
            output[:, row] = output[:, 0]
            for rank, follower in enumerate(followers):
                output[places[follower], row] = _CERTAIN - rank / 10
        # The norm makes of a row's one number the root of the width.
        writer.add_tensor("token_embd.weight", embeddings)
        writer.add_tensor("output.weight", output / np.float32(WIDTH**0.5))
        for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
            writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            writer.add_tensor(f"blk.0.{name}.weight", np.zeros((WIDTH, WIDTH), np.float32))


def build_template(thinks: bool) -> str:
    """The chat template: ChatML with tools as Qwen2.5 has them, which llama.cpp reads calls of."""
    return _TEMPLATE.replace("THINKS", "true" if thinks else "false")


_TEMPLATE = r"""
{%- if tools or messages[0].role in ['system', 'developer'] %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role in ['system', 'developer'] %}{{- messages[0].content }}{%- endif %}
    {%- if tools %}
        {{- "\n\n# Tools\n\nThese functions can be called:\n<tools>" }}
        {%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}
        {{- "\n</tools>\n\nTo call one, answer with an object like this between these tags:\n<tool_call>\n" }}
        {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>' }}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant' }}
        {%- if message.reasoning_content %}{{- '\n<think>' + message.reasoning_content + '</think>' }}{%- endif %}
        {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'user' or not loop.first %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- set last = messages[-1] %}
    {%- set calls = tools and last.role != 'tool' %}
    {%- if last.content is string and 'Tick forever' in last.content %}{{- ' \n' }}
    {%- elif THINKS and enable_thinking is defined and not enable_thinking %}
        {{- '\t' }}{%- if calls %}{{- '\n' }}{%- endif %}
    {%- elif calls %}{{- '\n' }}
    {%- endif %}
{%- endif %}
""".strip()
