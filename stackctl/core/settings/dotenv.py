"""Reading `.env` text: values, the line of each, and what is wrong with the file. Pure.

Grammar and quoting are python-dotenv's, without interpolation: a `$` in a value stays a `$`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from dotenv.parser import parse_stream

from stackctl.errors import Finding, Severity


@dataclass(frozen=True, slots=True)
class DotenvFile:
    """A parsed `.env`.

    Attributes:
        path: path of the file, as shown to the user.
        values: value of each name; of a name set twice, the last one.
        lines: line of that value, from 1, by name.
        findings: lines that cannot be read (errors), names set twice (warnings).
    """

    path: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    lines: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def parse_dotenv(text: str, path: str = ".env") -> DotenvFile:
    """Parse `.env` text; never raises, problems are findings with their line."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    findings: list[Finding] = []
    for binding in parse_stream(io.StringIO(text)):
        # A binding begins with the blank lines before it; the name stands after them.
        raw = binding.original.string
        line = binding.original.line + raw[: len(raw) - len(raw.lstrip())].count("\n")
        if binding.error:
            findings.append(
                Finding(
                    "syntax", "cannot be read; expected NAME=value", "quote or remove this line", file=path, line=line
                )
            )
        elif binding.key is not None:
            name = binding.key
            if name in values:
                message = f"is set twice, first on line {lines[name]}; the last one counts"
                findings.append(Finding(name, message, "remove one of them", Severity.WARNING, path, line))
            values[name], lines[name] = binding.value or "", line
    return DotenvFile(path, values, lines, tuple(findings))


def set_values(text: str, values: Mapping[str, str]) -> str:
    """Set names in `.env` text, keeping every other line as it is; a name that has no line is appended.

    Values must not need quoting: keys, numbers, plain words.
    """
    # Not splitlines: it also splits at characters that may stand inside a value.
    lines = text.removesuffix("\n").split("\n") if text else []
    left = dict(values)
    for index, line in enumerate(lines):
        name = line.partition("=")[0].removeprefix("export ").strip()
        if name in values and "=" in line:  # every line of that name, because the last one counts
            lines[index] = f"{name}={values[name]}"
            left.pop(name, None)
    lines += [f"{name}={value}" for name, value in left.items()]
    return "\n".join(lines) + "\n"
