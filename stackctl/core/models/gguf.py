"""The facts of a model that the stack needs, from the header of its GGUF file.

In: a binary file that an adapter opened, or a file name. Out: frozen values. The only reading is through the
file object that is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import BinaryIO, Final

from stackctl.core.models.gguf_content import GGUFContent, GGUFError
from stackctl.core.models.gguf_tables import (
    ARCHITECTURES,
    EMBEDDING_ARCHITECTURES,
    FILE_TYPES,
    GUESSED_FILE_TYPE,
    TENSOR_TYPES,
)
from stackctl.core.models.gguf_walk import CHAT_TEMPLATE, TOOLS_MARK, read_content

__all__ = [
    "GGUFError",
    "GGUFHeader",
    "SplitName",
    "build_shard_names",
    "merge_shards",
    "parse_gguf",
    "parse_split_name",
]

# The engine itself stops at 512 layers.
MAX_LAYERS: Final = 1024
MAX_FIGURE: Final = 1 << 40

_SPLIT_NAME: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """Facts of one GGUF file; 0, an empty tuple or an empty text where the file does not say.

    Attributes:
        size_bytes: size of the file as it is now.
        expected_bytes: offset at which the last tensor ends; more than ``size_bytes`` means truncated.
        tensor_bytes: bytes of the weights.
        parameter_count: number of elements of all tensors.
        context_length: tokens that the model was trained for.
        head_count_kv: KV heads: one value for all layers, or one for each.
        swa_pattern: one value per layer, True where the layer attends to ``sliding_window`` tokens; or one number n
            that stands for "every n-th layer attends to all".
        has_compressed_kv: whether attention is multi-head latent; then only keys of ``key_length`` are cached.
        full_attention_interval: number n where, in hybrids, every n-th layer has a KV cache.
        shared_kv_layers: number of layers at the end without a KV cache of their own.
        state_bytes_per_layer: bytes of recurrent state of one slot in one layer, float32.
        has_tools: whether a chat template takes tools; one that does not drops them without a word.
        file_kind: value of ``general.type``: "model", "adapter", "mmproj" and the like.
        pooling_type: how token vectors become one; None where the file does not say; see ``POOLING_TYPES``.
        split_no: number of the shard, from 0; ``split_count`` is 0 for a model in one file.
        split_tensor_count: number of tensors of all shards together.
        unknown_types: tensor types newer than our table; their size is not in ``expected_bytes``.
        is_folder: whether the facts are those of a Hugging Face folder (folder.py), which no file's header holds.
    """

    version: int
    architecture: str
    name: str
    quantisation: str
    size_bytes: int
    expected_bytes: int
    tensor_bytes: int
    tensor_count: int
    parameter_count: int
    context_length: int = 0
    block_count: int = 0
    embedding_length: int = 0
    feed_forward_length: int = 0
    head_count: int = 0
    head_count_kv: tuple[int, ...] = ()
    key_length: int = 0
    value_length: int = 0
    key_length_swa: int = 0
    value_length_swa: int = 0
    sliding_window: int = 0
    swa_pattern: tuple[int, ...] = ()
    has_compressed_kv: bool = False
    full_attention_interval: int = 0
    shared_kv_layers: int = 0
    state_bytes_per_layer: int = 0
    expert_count: int = 0
    expert_used_count: int = 0
    expert_feed_forward_length: int = 0
    vocab_size: int = 0
    has_chat_template: bool = False
    has_tools: bool = False
    file_kind: str = ""
    pooling_type: int | None = None
    split_no: int = 0
    split_count: int = 0
    split_tensor_count: int = 0
    unknown_types: frozenset[int] = frozenset()
    is_folder: bool = False

    @property
    def is_embedding(self) -> bool:
        """Whether the model gives vectors and no text."""
        return self.architecture in EMBEDDING_ARCHITECTURES or self.pooling_type in (1, 2, 3)

    @property
    def is_known(self) -> bool:
        """Whether the engine knows the architecture; of a folder it cannot be told here."""
        return self.is_folder or self.architecture in ARCHITECTURES


@dataclass(frozen=True, slots=True)
class SplitName:
    """Parts of a shard's file name: ``chat-00002-of-00003.gguf`` has stem ``chat``, number 2 (from 1), count 3."""

    stem: str
    number: int
    count: int


@dataclass(frozen=True, slots=True)
class _Values:
    """Typed access to the metadata; a value of the wrong kind is an error that names its key."""

    content: GGUFContent
    architecture: str

    def text(self, key: str) -> str:
        value = self.content.values.get(key, "")
        if not isinstance(value, str):
            raise self.refuse(key, "a text")
        return value

    def numbers(self, key: str) -> tuple[int, ...]:
        """One value or an array of them; ``key`` without the architecture's prefix."""
        full = f"{self.architecture}.{key}"
        value = self.content.values.get(full, ())
        items = value if isinstance(value, tuple) else (value,)
        counts = tuple(item for item in items if isinstance(item, int) and 0 <= item <= MAX_FIGURE)
        if len(counts) != len(items):
            raise self.refuse(full, f"whole numbers from 0 to {MAX_FIGURE}")
        return counts

    def number(self, key: str) -> int:
        """The largest value, because arrays only differ by layer and a fit must hold for all; 0 if absent."""
        return max(self.numbers(key), default=0)

    def plain(self, key: str) -> int:
        """A whole number under a key without prefix."""
        value = self.content.values.get(key, 0)
        if not isinstance(value, int) or not 0 <= value <= MAX_FIGURE:
            raise self.refuse(key, "a whole number")
        return value

    def refuse(self, key: str, expected: str) -> GGUFError:
        seen = str(self.content.values[key])[:80]
        message = f"not a usable GGUF file: {key} is {seen!r}, expected {expected}"
        return GGUFError(message, "convert the model again")


def parse_gguf(file: BinaryIO) -> GGUFHeader:
    """Read the facts of one GGUF file.

    Args:
        file: a seekable file, opened for binary reading. A vocabulary of 16 MB takes about 0.1 s.

    Raises:
        GGUFError: the file is not GGUF, has a version or byte order that the engine does not read, is truncated inside
            the header, or has figures that contradict it. A file truncated in its tensors is no error here: compare
            ``size_bytes`` with ``expected_bytes``.

    Source: ggml's ``docs/gguf.md``; key names as in llama.cpp's ``llama-arch.cpp``.
    """
    content = read_content(file)
    architecture = content.values.get("general.architecture", "")
    values = _Values(content, architecture if isinstance(architecture, str) else "")
    header = GGUFHeader(
        version=content.version,
        architecture=values.text("general.architecture"),
        name=values.text("general.name"),
        quantisation=_find_quantisation(values),
        size_bytes=content.size_bytes,
        expected_bytes=content.expected_bytes,
        tensor_bytes=sum(content.type_bytes.values()),
        tensor_count=content.tensor_count,
        parameter_count=content.elements,
        split_no=values.plain("split.no"),
        split_count=values.plain("split.count"),
        split_tensor_count=values.plain("split.tensors.count"),
        has_chat_template=content.lengths.get(CHAT_TEMPLATE, 0) > 0,
        has_tools=content.lengths.get(TOOLS_MARK, 0) > 0,
        file_kind=values.text("general.type"),
        vocab_size=values.number("vocab_size") or content.lengths.get("tokenizer.ggml.tokens", 0),
        unknown_types=content.unknown_types,
    )
    return _add_shape(header, values)


def _add_shape(header: GGUFHeader, values: _Values) -> GGUFHeader:
    """Add what the weights' shape says: layers, heads, windows, experts."""
    blocks, heads = values.number("block_count"), values.number("attention.head_count")
    if blocks > MAX_LAYERS:
        raise values.refuse(f"{header.architecture}.block_count", f"at most {MAX_LAYERS}")
    embedding = values.number("embedding_length")
    head_length = embedding // heads if heads else 0
    key_length = values.number("attention.key_length") or head_length
    value_length = values.number("attention.value_length") or head_length
    pooling = values.numbers("pooling_type")
    return replace(
        header,
        context_length=values.number("context_length"),
        block_count=blocks,
        embedding_length=embedding,
        feed_forward_length=values.number("feed_forward_length"),
        head_count=heads,
        head_count_kv=values.numbers("attention.head_count_kv") or ((heads,) if heads else ()),
        key_length=key_length,
        value_length=value_length,
        key_length_swa=values.number("attention.key_length_swa") or key_length,
        value_length_swa=values.number("attention.value_length_swa") or value_length,
        sliding_window=values.number("attention.sliding_window"),
        swa_pattern=values.numbers("attention.sliding_window_pattern"),
        has_compressed_kv=values.number("attention.key_length_mla") > 0,
        full_attention_interval=values.number("full_attention_interval"),
        shared_kv_layers=values.number("attention.shared_kv_layers"),
        state_bytes_per_layer=_compute_state_bytes(values, embedding),
        expert_count=values.number("expert_count"),
        expert_used_count=values.number("expert_used_count"),
        expert_feed_forward_length=values.number("expert_feed_forward_length"),
        pooling_type=pooling[0] if pooling else None,
    )


def _compute_state_bytes(values: _Values, embedding: int) -> int:
    """Bytes of one slot's recurrent state in one layer: the convolution's tail and the state itself."""
    inner, state = values.number("ssm.inner_size"), values.number("ssm.state_size")
    tail = max(values.number("ssm.conv_kernel") - 1, 0)
    mamba = tail * (inner + 2 * values.number("ssm.group_count") * state) + state * inner
    short_conv = embedding * max(values.number("shortconv.l_cache") - 1, 0)
    rwkv = embedding * (values.number("wkv.head_size") + values.number("token_shift_count"))
    head = values.number("kda.head_dim")
    kda = values.number("attention.head_count") * head * (head + 3 * (tail or 3)) if head else 0
    return 4 * max(mamba, short_conv, rwkv, kda)


def _find_quantisation(values: _Values) -> str:
    """The name of the file type, or of the tensor type that takes most bytes."""
    file_type = values.content.values.get("general.file_type")
    if isinstance(file_type, int) and (file_type & ~GUESSED_FILE_TYPE) in FILE_TYPES:
        return FILE_TYPES[file_type & ~GUESSED_FILE_TYPE]
    by_bytes = values.content.type_bytes
    largest = max(by_bytes, key=lambda kind: by_bytes[kind], default=-1)
    return TENSOR_TYPES[largest][0] if largest in TENSOR_TYPES else ""


def parse_split_name(name: str) -> SplitName | None:
    """Parts of a shard's file name, or None for a model in one file (or a number outside the count)."""
    match = _SPLIT_NAME.fullmatch(PurePath(name).name)
    if not match:
        return None
    number, count = int(match["number"]), int(match["count"])
    return SplitName(match["stem"], number, count) if 1 <= number <= count else None


def build_shard_names(name: str) -> tuple[str, ...]:
    """File names of all shards in order, given any of them; just ``name`` for a model in one file."""
    split = parse_split_name(name)
    if split is None:
        return (PurePath(name).name,)
    numbers = range(1, split.count + 1)
    return tuple(f"{split.stem}-{number:05d}-of-{split.count:05d}.gguf" for number in numbers)


def merge_shards(headers: Sequence[GGUFHeader]) -> GGUFHeader:
    """One header for a whole model: the first shard's facts with the sizes of all (n >= 1)."""
    return replace(
        headers[0],
        size_bytes=sum(header.size_bytes for header in headers),
        expected_bytes=sum(header.expected_bytes for header in headers),
        tensor_bytes=sum(header.tensor_bytes for header in headers),
        tensor_count=sum(header.tensor_count for header in headers),
        parameter_count=sum(header.parameter_count for header in headers),
        unknown_types=frozenset().union(*(header.unknown_types for header in headers)),
    )
