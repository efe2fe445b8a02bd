"""The error tree, its exit codes, and the finding: one thing that is wrong and what to do about it.

Imports nothing of ours and does no I/O, so that every layer may import it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters: an error stops the job, a warning does not, ok is worth showing."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation about a file, a setting or the host.

    Attributes:
        subject: what it is about: a setting, a file, a part of the host (``CHAT_MODEL``, ``ports``).
        message: what was seen and what was expected, one or two sentences.
        hint: one command or one setting to change; empty when nothing needs doing.
        file: path of the file it stands in, empty when it is in none.
        line: line number from 1, or 0 when there is none.
    """

    subject: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    file: str = ""
    line: int = 0

    def render_place(self) -> str:
        """The place as ``file:line``, ``file`` or an empty string."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    def render_text(self) -> str:
        """One line: place, subject and message, without the hint."""
        return ": ".join(part for part in (self.render_place(), self.subject, self.message) if part)


@dataclass(eq=False)
class StackError(Exception):
    """Base of every error a user can meet.

    Attributes:
        message: what failed, what was seen, what was expected.
        hint: one next step.
        findings: all that was found wrong, so that one run reports everything.
    """

    message: str
    hint: str = ""
    findings: Sequence[Finding] = field(default=())

    exit_code = 1

    def __str__(self) -> str:
        """The message and, below it, one line for each finding."""
        return "\n".join([self.message, *(f"  {finding.render_text()}" for finding in self.findings)])


class ConfigError(StackError):
    """``.env``, ``stack.yml`` or the catalog is wrong."""

    exit_code = 3


class RenderError(StackError):
    """A template could not be rendered."""

    exit_code = 4


class RuntimeFailure(StackError):
    """Docker is absent, a command failed or a process did not do what it must."""

    exit_code = 5


class ImageUnavailable(RuntimeFailure):
    """An image is not on this machine, and no registry that was asked gave it."""


@dataclass(eq=False)
class EngineRefused(RuntimeFailure):
    """An engine was built here and does not answer; ``reason`` says what it did, a clause that follows its name.

    Attributes:
        is_lasting: whether the same build would do so again on this machine.
    """

    is_lasting: bool = True

    @property
    def reason(self) -> str:
        """The message as a clause."""
        return self.message


class UnhealthyError(StackError):
    """A probe failed or timed out."""

    exit_code = 6


class NotRunning(UnhealthyError):
    """What only a running stack can do was asked of one that is stopped."""


class BundleError(StackError):
    """A bundle does not match its manifest or its signature."""

    exit_code = 7


def raise_config_error(message: str, findings: Iterable[Finding], hint: str = "") -> None:
    """Raise ``ConfigError`` if any finding is an error; return otherwise."""
    errors = tuple(sorted((f for f in findings if f.severity is Severity.ERROR), key=lambda f: (f.file, f.line)))
    if errors:
        raise ConfigError(message, hint or errors[0].hint, errors)


def suggest_nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'X'?`` for the nearest known name, or an empty string."""
    candidates = sorted(known)
    by_upper = {candidate.upper(): candidate for candidate in candidates}
    close = get_close_matches(name.upper(), by_upper, n=1, cutoff=0.6)
    return f"did you mean '{by_upper[close[0]]}'?" if close else ""
