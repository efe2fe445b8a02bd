"""One field of a request, and what becomes of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "number": (int, float),
    "whole number": int,
    "truth value": bool,
    "list": list,
    "object": dict,
}
# Beyond it, floating-point numbers leave whole ones out.
_LARGEST_EXACT = 2**53


class Treatment(Enum):
    """What becomes of a field."""

    PASSED = "passed"
    # Where leaving it out cannot change the answer that the client expects.
    LEFT_OUT = "left out"
    # A value that asks for nothing, such as false or an empty list, is left out instead.
    REFUSED = "refused"
    # Whatever its value.
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Field:
    """One top-level field of a format.

    Attributes:
        kind: what its value must be, such as ``text or list``; empty when anything may.
        why: a word on its treatment, for the page and, of a refused field, for the client.
        servers: families of servers that know it, of ``llama.cpp``, ``vllm``, ``openai`` and ``anthropic``; empty:
            all do, or its format's conversion sees to it.
        is_binding: whether an answer of a server that does not know it would be another than the client counts on.
        is_required: whether a request without it means nothing.
        harmless: values of a refused field that ask for what is done anyway.
        stands_for: the name under which its value is passed on; empty for its own.
    """

    name: str
    kind: str
    treatment: Treatment
    why: str = ""
    servers: frozenset[str] = frozenset()
    is_binding: bool = False
    is_required: bool = False
    harmless: tuple[Any, ...] = ()
    stands_for: str = ""

    def fits(self, value: Any) -> bool:
        """Whether a value, which is not None, is of the field's kind."""
        return not self.kind or any(_is(value, kind) for kind in _list_kinds(self.kind))

    def read(self, value: Any) -> Any:
        """A value that fits, as the program and its servers take it: 2.0 where a whole number is wanted is 2."""
        kinds = _list_kinds(self.kind)
        if isinstance(value, float) and "whole number" in kinds and "number" not in kinds:
            return int(value)
        return value

    def is_known_to(self, family: str) -> bool:
        """Whether servers of this family know it."""
        return not self.servers or family in self.servers


@lru_cache
def _list_kinds(kind: str) -> tuple[str, ...]:
    return tuple(kind.split(" or "))


def _is(value: Any, kind: str) -> bool:
    if kind == "truth value":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "whole number" and isinstance(value, float):
        return value.is_integer() and abs(value) <= _LARGEST_EXACT
    return isinstance(value, _TYPES[kind])


def passed(name: str, kind: str, why: str, *, required: bool = False) -> Field:
    """A field that every server knows, or may ignore without harm."""
    return Field(name, kind, Treatment.PASSED, why, is_required=required)


def known_to(servers: Iterable[str], name: str, kind: str, why: str, *, binding: bool = False) -> Field:
    """A field that is passed to some servers only."""
    return Field(name, kind, Treatment.PASSED, why, frozenset(servers), binding)


def left_out(name: str, kind: str, why: str) -> Field:
    """A field that no server gets."""
    return Field(name, kind, Treatment.LEFT_OUT, why)


def refused(name: str, why: str, *harmless: Any) -> Field:
    """A field that cannot be honoured."""
    return Field(name, "", Treatment.REFUSED, why, harmless=harmless)


def never(name: str, why: str) -> Field:
    """A field that would steer the gateway or a server, whatever its value."""
    return Field(name, "", Treatment.NEVER, why)


@dataclass(frozen=True, slots=True)
class Table:
    """The fields of one format.

    Attributes:
        fields: by name.
        required: those that no request goes without.
        renamed: those that go on under another name.
    """

    fields: Mapping[str, Field]
    required: tuple[Field, ...]
    renamed: tuple[Field, ...]


def build_table(*groups: Iterable[Field]) -> Table:
    """The fields of several groups; the first of several of one name counts."""
    fields: dict[str, Field] = {}
    for group in groups:
        for field in group:
            fields.setdefault(field.name, field)
    required = tuple(field for field in fields.values() if field.is_required)
    return Table(fields, required, tuple(field for field in fields.values() if field.stands_for))
