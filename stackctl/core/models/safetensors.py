"""The header of one safetensors file: which tensors it holds, how large they are, where each begins.

In: a binary file that an adapter opened. Out: a frozen value. The only reading is through the file object that is
passed in, and it ends at the header: weights are never read. What the format promises is checked, because whoever
loads the file maps its bytes by these numbers: offsets without gaps or overlaps, sizes that follow from the shapes.

Source: the format's description in the safetensors project, version 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, Final

# Element type -> bits.
DTYPE_BITS: Final = MappingProxyType(
    {
        "F4": 4,
        "F6_E2M3": 6,
        "F6_E3M2": 6,
        **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
        **dict.fromkeys(("F8_E5M2FNUZ", "F8_E4M3FNUZ"), 8),
        **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
        **dict.fromkeys(("I32", "U32", "F32"), 32),
        **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    }
)
_LENGTH_BYTES: Final = 8
# The format's own limit.
MAX_HEADER_BYTES: Final = 100_000_000
_MAX_DIMENSIONS: Final = 32
_LARGEST: Final = 1 << 62
_METADATA: Final = "__metadata__"
_KEYS: Final = frozenset({"dtype", "shape", "data_offsets"})


class SafetensorsError(ValueError):
    """A file that is no usable safetensors file; the text says what was seen and what was expected."""


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """What one safetensors file says of itself.

    Attributes:
        size_bytes: size of the file as it is now.
        data_start: offset in the file at which the first tensor begins.
        tensor_starts: offset in the file at which each tensor begins, rising.
        tensor_bytes: bytes of all tensors together.
        parameter_count: elements of all tensors together.
        dtype_bytes: bytes of tensors, by element type.
    """

    size_bytes: int
    data_start: int
    names: frozenset[str]
    tensor_starts: tuple[int, ...]
    tensor_bytes: int
    parameter_count: int
    dtype_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor of the header; begin and end are offsets in the data."""

    name: str
    dtype: str
    begin: int
    end: int
    elements: int


def parse_safetensors(file: BinaryIO) -> SafetensorsHeader:
    """Read the header of a safetensors file.

    Args:
        file: seekable; its position does not matter.

    Raises:
        SafetensorsError: the file is none, is truncated, or its header contradicts itself.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if size < _LENGTH_BYTES + 2 or not 2 <= length <= MAX_HEADER_BYTES:
        raise SafetensorsError(f"no safetensors file: its header would have {length} bytes, the file has {size}")
    data_start = _LENGTH_BYTES + length
    if data_start > size:
        raise SafetensorsError(f"truncated in its header: {size} bytes seen, at least {data_start} expected")
    tensors = sorted(_read_tensors(file.read(length)), key=lambda item: (item.begin, item.end))
    end = _check_gapless(tensors)
    if data_start + end != size:
        word = "truncated" if data_start + end > size else "longer than its header says"
        raise SafetensorsError(f"{word}: {size} bytes seen, {data_start + end} expected")
    dtype_bytes: dict[str, int] = {}
    for item in tensors:
        dtype_bytes[item.dtype] = dtype_bytes.get(item.dtype, 0) + item.end - item.begin
    return SafetensorsHeader(
        size_bytes=size,
        data_start=data_start,
        names=frozenset(item.name for item in tensors),
        tensor_starts=tuple(data_start + item.begin for item in tensors),
        tensor_bytes=end,
        parameter_count=sum(item.elements for item in tensors),
        dtype_bytes=dtype_bytes,
    )


def _read_tensors(data: bytes) -> list[_Tensor]:
    if data[:1] != b"{":
        raise SafetensorsError(f"no safetensors file: its header begins with {data[:1]!r}, not with '{{'")
    try:
        table = json.loads(data, object_pairs_hook=_refuse_twice)
    except (ValueError, RecursionError) as error:
        if isinstance(error, SafetensorsError):
            raise
        raise SafetensorsError("its header is no JSON") from None
    table.pop(_METADATA, None)
    return [_read_tensor(str(name), entry) for name, entry in table.items()]


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise SafetensorsError("its header names something twice")
    return table


def _read_tensor(name: str, entry: Any) -> _Tensor:
    if not isinstance(entry, dict) or not entry.keys() >= _KEYS:
        raise SafetensorsError(f"tensor {name!r} has no dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise SafetensorsError(f"tensor {name!r} has elements of type {dtype!r}, which is unknown here")
    if not _is_sizes(shape) or len(shape) > _MAX_DIMENSIONS or not _is_sizes(offsets) or len(offsets) != 2:
        raise SafetensorsError(f"tensor {name!r} has a shape or offsets that are no sizes")
    begin, end = offsets
    elements = math.prod(shape)
    bits = elements * DTYPE_BITS[dtype]
    if begin > end or bits % 8 or end - begin != bits // 8:
        seen = f"{end - begin} bytes seen, {bits / 8:g} expected"
        raise SafetensorsError(f"tensor {name!r} of type {dtype} and shape {shape} has another size: {seen}")
    return _Tensor(name, dtype, begin, end, elements)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < _LARGEST for item in value)


def _check_gapless(tensors: list[_Tensor]) -> int:
    """The end of the last tensor, once each begins where the one before it ends."""
    end = 0
    for item in tensors:
        if item.begin != end:
            raise SafetensorsError(f"tensor {item.name!r} begins at {item.begin}, where {end} was expected")
        end = item.end
    return end
