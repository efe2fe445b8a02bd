"""Reading the names from `.env`: typed values, and what is wrong with those that are not usable. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from stackctl.core.settings.dotenv import DotenvFile
from stackctl.core.settings.names.table import EnvironmentNames, travelling_keys
from stackctl.core.settings.value_text import parse_value
from stackctl.errors import Finding


@dataclass(frozen=True, slots=True)
class NamedValues:
    """What `.env` says under these names.

    Attributes:
        given: names that have a value.
        blank: names that are there without a value.
        findings: values that are not usable.
    """

    values: EnvironmentNames = field(default_factory=EnvironmentNames)
    given: frozenset[str] = frozenset()
    blank: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()

    def keep_travelling(self) -> NamedValues:
        """Those that a bundle takes along: neither secret nor of one machine."""
        kept = travelling_keys()
        values = EnvironmentNames(**{name.lower(): getattr(self.values, name.lower()) for name in kept})
        return replace(self, values=values, given=self.given & kept, blank=self.blank & kept)


def read_names(files: Sequence[DotenvFile]) -> NamedValues:
    """Read every name.

    Args:
        files: where they may stand, the one that counts first before the others.
    """
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    blank = {name for file in files for name, text in file.values.items() if not text}
    for item in fields(EnvironmentNames):
        name = item.name.upper()
        for file, text in _find_texts(files, name):
            value, problem = parse_value(item, text)
            if problem:
                findings.append(Finding(name, problem, f"correct {name}", file=file.path, line=file.lines[name]))
            else:
                values[item.name] = value
            break
    given = frozenset(name.upper() for name in values)
    known = {item.name.upper() for item in fields(EnvironmentNames)}
    return NamedValues(EnvironmentNames(**values), given, frozenset(blank & known) - given, tuple(findings))


def _find_texts(files: Sequence[DotenvFile], name: str) -> Iterator[tuple[DotenvFile, str]]:
    for file in files:
        if text := file.values.get(name):
            yield file, text
