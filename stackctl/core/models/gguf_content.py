"""What one GGUF file holds, as plain values, and the error for a file that is none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.errors import ConfigError

MetadataValue = int | float | bool | str | tuple[int | float | bool, ...]


class GGUFError(ConfigError):
    """A file is no GGUF file that the engine could load."""


@dataclass(frozen=True, slots=True)
class GGUFContent:
    """What one GGUF file holds, before anything is made of it.

    Attributes:
        values: scalars, short texts and short arrays of numbers, by key.
        lengths: number of items of every array and bytes of every text, by key.
        type_bytes: bytes of tensor data, by tensor type.
        elements: number of elements of all tensors together.
        expected_bytes: offset at which the last tensor ends; a shorter file is truncated.
        data_start: offset at which the tensors' data begins, after the header and its padding.
        tensor_starts: offset at which each tensor begins in the file, in the table's order.
    """

    version: int
    size_bytes: int
    values: dict[str, MetadataValue]
    lengths: dict[str, int]
    tensor_count: int
    type_bytes: dict[int, int]
    elements: int
    expected_bytes: int
    unknown_types: frozenset[int]
    data_start: int
    tensor_starts: tuple[int, ...]
