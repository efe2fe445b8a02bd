"""Marks on the types of `stack.yml`'s values that pydantic reads when the file is read or its schema is made. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Matches:
    """Marks a text that must match a pattern; pydantic asks it for its schema when the file is read.

    Attributes:
        expected: what the pattern means, for a person.
    """

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """The schema of a text with this pattern."""
        from pydantic_core import core_schema

        text = core_schema.str_schema(pattern=self.pattern, strict=True)
        return core_schema.custom_error_schema(text, "expected", custom_error_message=self.expected)


@dataclass(frozen=True, slots=True)
class AsWritten:
    """Marks a text that YAML may read as something else; the reader takes it as it is written.

    Attributes:
        values: numbers that YAML reads such a text as; empty for every number and truth value.
    """

    values: tuple[int, ...] = ()

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], Any]) -> Any:
        """The JSON Schema of the text, or of the other value that an editor may see."""
        return {
            "anyOf": [handler(schema), {"enum": list(self.values)} if self.values else {"type": ["number", "boolean"]}]
        }


@dataclass(frozen=True, slots=True)
class Within:
    """Marks a number's bounds for editors; route_checks.py checks them beside everything else that a route must be."""

    low: float
    high: float

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], Any]) -> Any:
        """The JSON Schema of a number between the bounds."""
        return handler(schema) | {"minimum": self.low, "maximum": self.high}
