"""Which engine serves, of those that this machine has or can get: the first that works, in an order that is fixed.

In: the setting, the forms in which engines can be had here, and what is known of each since it was asked. Out: an
``EngineChoice`` and the findings that tell of it. Pure. Source of the order: docs/decisions/process-engine.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from stackctl.core.engine.build import Build
from stackctl.core.engine.engines import AUTO, ENGINES, LLAMA_CPP, LLAMA_CPP_PYTHON, XLLAMACPP, Engine
from stackctl.core.engine.trial import EngineRecord
from stackctl.errors import Finding, Severity

SETTING = "INFERENCE_ENGINE"


@dataclass(frozen=True, slots=True)
class EngineForm:
    """An engine in one form in which this machine has it or can get it.

    Attributes:
        title: the form in words: ``llama-server on PATH (/usr/bin/llama-server)``.
        command: words that come before the engine's arguments.
        build: how the program is compiled; None where it is not compiled here.
        environment: variables that this form needs.
    """

    engine: Engine
    title: str
    command: tuple[str, ...]
    build: Build | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine that is taken, and those before it that were passed over.

    Attributes:
        record: what is known of the engine; None when it was not asked yet.
        refused: forms that do not work here, each with what it did.
    """

    form: EngineForm
    record: EngineRecord | None = None
    refused: tuple[tuple[EngineForm, str], ...] = ()

    @property
    def is_exhausted(self) -> bool:
        """Whether no engine works."""
        return self.record is not None and not self.record.works

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the engine's processes need beside what every engine is given."""
        return {**self.form.environment, **(self.record.environment if self.record else {})}

    def list_findings(self) -> tuple[Finding, ...]:
        """What a user must know of the choice: engines passed over, a remedy that costs speed, or that none works."""
        if self.is_exhausted:
            return tuple(Finding(SETTING, f"{form.title} {reason}", _suggest(form)) for form, reason in self.refused)
        findings = [
            Finding(
                SETTING,
                f"{form.title} {reason} when it was asked the demo's question; {self.form.title} serves instead",
                _suggest(form),
                Severity.WARNING,
            )
            for form, reason in self.refused
        ]
        if self.record and self.record.environment:
            message = (
                f"{self.form.title} {self.record.reason} when it was asked the demo's question; "
                f"it answers with {self.record.render_remedy()}, which is slower"
            )
            findings.append(Finding(SETTING, message, _suggest(self.form), Severity.WARNING))
        return tuple(findings)

    def describe(self) -> Finding:
        """The engine that is taken and whether it has answered here, as ``doctor`` shows it."""
        if self.record is None:
            return Finding("engine", f"{self.form.title}; 'up' asks it the demo's question first", severity=Severity.OK)
        return Finding("engine", f"{self.form.title}: answered the demo's question here", severity=Severity.OK)


def _suggest(form: EngineForm) -> str:
    if form.engine is LLAMA_CPP and form.build is None:
        return "put another build of it on PATH, or take it away; it is asked again when its file changes"
    return "put a llama-server that works on PATH, or set STACK_RUNTIME=compose"


def list_allowed_engines(setting: str, cpu_features: Set[str] | None) -> tuple[Engine, ...]:
    """The engines of the process runtime that ``INFERENCE_ENGINE`` allows, the preferred one first.

    Args:
        setting: ``auto`` or a name in ``ENGINES``.
        cpu_features: the CPU's flags, None where they are not known or the CPU is no x86-64.

    Raises:
        KeyError: no engine has the name.
    """
    if setting != AUTO:
        return (ENGINES[setting],)
    fits = cpu_features is None or XLLAMACPP.cpu_features <= cpu_features
    return (LLAMA_CPP, *([XLLAMACPP] if fits else []), LLAMA_CPP_PYTHON)


def choose_form(
    forms: tuple[EngineForm, ...], load_record: Callable[[EngineForm], EngineRecord | None]
) -> EngineChoice:
    """The first form that works or was not asked yet.

    Args:
        forms: forms of engines, n >= 1, the preferred one first.
    """
    refused: list[tuple[EngineForm, str]] = []
    for form in forms:
        record = load_record(form)
        if record is None or record.works:
            return EngineChoice(form, record, tuple(refused))
        refused.append((form, record.reason))
    return EngineChoice(forms[0], load_record(forms[0]), tuple(refused))
