"""Walk over the bytes of a GGUF file: metadata values, array lengths and tensor sizes.

In: a seekable binary file that the caller opened. Out: a ``GGUFContent`` of plain values. Reads the file
it is given in blocks and nothing else. Vocabularies and chat templates are stepped over, never kept, so the
memory used is bounded by the limits below whatever the file claims.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from io import SEEK_END
from typing import BinaryIO, Final

from stackctl.core.models.gguf_content import GGUFContent, GGUFError, MetadataValue
from stackctl.core.models.gguf_tables import (
    ARRAY_TYPE,
    LOOKALIKES,
    SAFETENSORS,
    SCALAR_CODES,
    STRING_TYPE,
    TENSOR_TYPES,
)

# Far above what real models hold (60 pairs, 3,000 tensors, a header of 16 MB), and low enough that a file
# made to exhaust us is refused within seconds.
MAX_HEADER_BYTES: Final = 1 << 27
MAX_PAIRS: Final = 4096
MAX_TENSORS: Final = 262_144
MAX_KEY_BYTES: Final = 1024
MAX_TEXT_BYTES: Final = 4096
MAX_TEMPLATE_BYTES: Final = 1 << 20
MAX_KEPT_ITEMS: Final = 1024
MAX_ALIGNMENT: Final = 1 << 20
MAX_DIMENSIONS: Final = 4
MAX_ELEMENTS: Final = 1 << 63

_BLOCK_BYTES: Final = 1 << 18
_LENGTH: Final = struct.Struct("<Q")
# A model may have several templates, one of them for tools; of each only what the stack needs is kept.
CHAT_TEMPLATE: Final = "tokenizer.chat_template"
TOOLS_MARK: Final = "tools named by chat templates"
_TOOLS: Final = re.compile(rb"\btools\b")
_CONVERT_AGAIN: Final = "convert the model again"


@dataclass(slots=True)
class _Cursor:
    """A position in the file and the block around it; every step is checked against the file's size."""

    file: BinaryIO
    size: int
    block: bytes = b""
    block_start: int = 0
    position: int = 0
    place: str = "the header"

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes (bounded by the callers' limits)."""
        start = self.step(count)
        offset = start - self.block_start
        if offset < 0 or offset + count > len(self.block):
            self.fill(start, count)
            offset = 0
        if len(self.block) < offset + count:
            raise self.cut_short()
        return self.block[offset : offset + count]

    def step(self, count: int) -> int:
        """Move on by ``count`` bytes without reading them; returns where they start."""
        start = self.position
        self.position = self.check(start + count)
        return start

    def check(self, position: int) -> int:
        """The position, if a header may reach that far."""
        if position > self.size:
            raise self.cut_short()
        if position > MAX_HEADER_BYTES:
            raise self.refuse(f"its header is longer than {MAX_HEADER_BYTES} bytes")
        return position

    def fill(self, start: int, count: int = 0) -> None:
        """Read a block of at least ``count`` bytes from ``start``."""
        self.file.seek(start)
        self.block = self.file.read(max(_BLOCK_BYTES, count))
        self.block_start = start

    def number(self, code: str) -> int:
        """One little-endian integer."""
        return int(struct.unpack("<" + code, self.take(struct.calcsize(code)))[0])

    def text(self, limit: int) -> str:
        """A length and that many bytes of UTF-8, at most ``limit``."""
        length = self.number("Q")
        if length > limit:
            raise self.refuse(f"a text of {length} bytes stands where at most {limit} are expected")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse("a text is not UTF-8") from None

    def skip_strings(self, count: int) -> None:
        """Step over ``count`` strings; the hot loop, a vocabulary has 262,144 of them."""
        unpack, position = _LENGTH.unpack_from, self.position
        while count:
            self.fill(position)
            block, start, end, offset = self.block, position, len(self.block) - 8, 0
            if end < 0:
                raise self.cut_short()
            while count and offset <= end:
                offset += 8 + unpack(block, offset)[0]
                count -= 1
            position = self.check(start + offset)
        self.position = position

    def cut_short(self) -> GGUFError:
        """The error for a file that ends before what it announces."""
        return self.refuse(f"it ends after {self.size} bytes, inside {self.place}: the file is truncated")

    def refuse(self, reason: str) -> GGUFError:
        """A ``GGUFError`` that names the place."""
        where = "" if self.place in reason else f" (in {self.place}, near byte {self.position})"
        return GGUFError(f"not a usable GGUF file: {reason}{where}", "download or convert the model again")


@dataclass(slots=True)
class _Tensors:
    """Sums over the tensor table; ``end`` is where the last one ends, from the start of the data."""

    type_bytes: dict[int, int] = field(default_factory=dict)
    elements: int = 0
    end: int = 0
    unknown: set[int] = field(default_factory=set)
    offsets: list[int] = field(default_factory=list)


def read_content(file: BinaryIO) -> GGUFContent:
    """Walk over one GGUF file.

    Args:
        file: a seekable file, opened for binary reading; its position does not matter and is changed.

    Raises:
        GGUFError: the file has the wrong magic, byte order or version, has counts or lengths that its size or the
            limits of this module contradict, or ends inside its header.

    Source: ggml's ``docs/gguf.md``, versions 2 and 3.
    """
    cursor = _Cursor(file, file.seek(0, SEEK_END))
    version = _read_version(cursor)
    tensor_count = _read_count(cursor, "tensors", MAX_TENSORS)
    pair_count = _read_count(cursor, "metadata pairs", MAX_PAIRS)
    values: dict[str, MetadataValue] = {}
    lengths: dict[str, int] = {}
    for index in range(pair_count):
        cursor.place = f"metadata pair {index + 1} of {pair_count}"
        _read_pair(cursor, values, lengths)
    alignment = _check_alignment(cursor, values.get("general.alignment", 32))
    tensors = _Tensors()
    for index in range(tensor_count):
        cursor.place = f"tensor {index + 1} of {tensor_count}"
        _read_tensor(cursor, tensors)
    data_start = -(-cursor.position // alignment) * alignment
    return GGUFContent(
        version=version,
        size_bytes=cursor.size,
        values=values,
        lengths=lengths,
        tensor_count=tensor_count,
        type_bytes=tensors.type_bytes,
        elements=tensors.elements,
        expected_bytes=data_start + tensors.end if tensor_count else cursor.position,
        unknown_types=frozenset(tensors.unknown),
        data_start=data_start,
        tensor_starts=tuple(data_start + offset for offset in tensors.offsets),
    )


def _read_version(cursor: _Cursor) -> int:
    """Check the magic; return the version, 2 or 3."""
    if not cursor.size:
        raise GGUFError("not a GGUF file: it is empty", "download the model again")
    start = cursor.take(min(cursor.size, 24))
    if start[:4] != b"GGUF":
        for prefix, kind, hint in LOOKALIKES:
            if start.startswith(prefix):
                raise GGUFError(f"not a GGUF file: it is {kind}", hint)
        if start[8:9] == b"{" and _LENGTH.unpack_from(start)[0] <= cursor.size:
            raise GGUFError(f"not a GGUF file: it is {SAFETENSORS[0]}", SAFETENSORS[1])
        raise GGUFError(f"not a GGUF file: it starts with {start[:4]!r}, expected b'GGUF'", "check the path")
    cursor.position = 4
    version = cursor.number("I")
    if version and version & 0xFFFF == 0:
        raise GGUFError("the GGUF file is big-endian, the engine reads little-endian", _CONVERT_AGAIN)
    if version not in (2, 3):
        raise GGUFError(f"GGUF version {version} is not supported, 2 or 3 is expected", _CONVERT_AGAIN)
    return version


def _read_count(cursor: _Cursor, what: str, limit: int) -> int:
    count = cursor.number("Q")
    if count > limit:
        raise cursor.refuse(f"it announces {count} {what}, at most {limit} are expected")
    return count


def _read_pair(cursor: _Cursor, values: dict[str, MetadataValue], lengths: dict[str, int]) -> None:
    """Read one key and keep its value when it is small."""
    key = cursor.text(MAX_KEY_BYTES)
    if key in values or key in lengths:
        raise cursor.refuse(f"the key {key[:80]!r} stands twice")
    value_type = cursor.number("I")
    if value_type == STRING_TYPE:
        length = lengths[key] = cursor.number("Q")
        if key.startswith(CHAT_TEMPLATE) and length <= MAX_TEMPLATE_BYTES:
            lengths[TOOLS_MARK] = lengths.get(TOOLS_MARK, 0) + len(_TOOLS.findall(cursor.take(length)))
            return
        if length > MAX_TEXT_BYTES:
            cursor.step(length)
            return
        data = cursor.take(length)
        try:
            values[key] = data.decode("utf-8")
        except UnicodeDecodeError:
            raise cursor.refuse(f"the value of {key!r} is not UTF-8") from None
    elif value_type == ARRAY_TYPE:
        _read_array(cursor, key, values, lengths)
    else:
        values[key] = _read_numbers(cursor, value_type, 1)[0]


def _read_array(cursor: _Cursor, key: str, values: dict[str, MetadataValue], lengths: dict[str, int]) -> None:
    """Keep a short array of numbers, step over others; refuse arrays of arrays, as the engine does."""
    item_type, count = cursor.number("I"), cursor.number("Q")
    lengths[key] = count
    if item_type == STRING_TYPE:
        cursor.skip_strings(count)
    elif count <= MAX_KEPT_ITEMS:
        values[key] = _read_numbers(cursor, item_type, count)
    else:
        cursor.step(count * struct.calcsize(_find_code(cursor, item_type)))


def _find_code(cursor: _Cursor, value_type: int) -> str:
    code = SCALAR_CODES.get(value_type)
    if code is None:
        raise cursor.refuse(f"the value type {value_type} is unknown")
    return code


def _read_numbers(cursor: _Cursor, value_type: int, count: int) -> tuple[int | float | bool, ...]:
    code = _find_code(cursor, value_type)
    return struct.unpack(f"<{count}{code}", cursor.take(count * struct.calcsize(code)))


def _check_alignment(cursor: _Cursor, alignment: MetadataValue) -> int:
    if isinstance(alignment, int) and 0 < alignment <= MAX_ALIGNMENT and alignment & (alignment - 1) == 0:
        return alignment
    raise cursor.refuse(f"general.alignment is {str(alignment)[:40]}, a power of two is expected")


def _read_tensor(cursor: _Cursor, tensors: _Tensors) -> None:
    """Add one entry of the tensor table to the sums; the name itself is not needed."""
    name_bytes = cursor.number("Q")
    if name_bytes > MAX_KEY_BYTES:
        raise cursor.refuse(f"a tensor name of {name_bytes} bytes, at most {MAX_KEY_BYTES} are expected")
    cursor.step(name_bytes)
    dimensions = cursor.number("I")
    if dimensions > MAX_DIMENSIONS:
        raise cursor.refuse(f"a tensor of {dimensions} dimensions, at most {MAX_DIMENSIONS} are expected")
    elements = 1
    for size in struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions)):
        elements *= size
    tensor_type, offset = cursor.number("I"), cursor.number("Q")
    if elements >= MAX_ELEMENTS or offset >= MAX_ELEMENTS:
        raise cursor.refuse("a tensor is larger than any file")
    _, block_elements, block_bytes = TENSOR_TYPES.get(tensor_type, ("", 1, 0))
    if not block_bytes:
        tensors.unknown.add(tensor_type)
    size_bytes = -(-elements // block_elements) * block_bytes
    tensors.type_bytes[tensor_type] = tensors.type_bytes.get(tensor_type, 0) + size_bytes
    tensors.elements += elements
    tensors.offsets.append(offset)
    tensors.end = max(tensors.end, offset + size_bytes)
