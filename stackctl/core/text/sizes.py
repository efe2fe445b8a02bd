"""Sizes as settings and Compose write them: ``0``, ``512m``, ``24g``. Pure."""

from __future__ import annotations

from typing import Final

_UNITS: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size_bytes(text: str) -> int:
    """Bytes of a whole number with or without one of the letters k, m, g (1024, 1024 squared, ...)."""
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)
