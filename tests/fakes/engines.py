"""Engines that answer or fail as they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.core.engine.build import Build, Toolkit
from stackctl.core.engine.choice import EngineForm
from stackctl.core.engine.trial import EngineRecord, TrialResult
from stackctl.errors import StackError
from stackctl.operations.effects import Report


@dataclass
class FakeEngines:
    """A machine's engines: what each does when it is asked, by a part of its command.

    Attributes:
        environment_of: folder of the environment of a lock file.
        failures: part of a command to what that engine does instead of answering, unless it is given the remedy.
        incurable: parts of commands that no remedy helps.
        toolkit: the GPU's compiler; build_failure: what building ends with; made: finished builds.
        known: records by command; every engine has answered before where ``is_known`` says so.
        asked: commands, in order.
    """

    environment_of: Callable[[Path], Path]
    failures: dict[str, str] = field(default_factory=dict)
    incurable: set[str] = field(default_factory=set)
    is_known: bool = True
    passing: set[str] = field(default_factory=set)
    toolkit: Toolkit = field(default=Toolkit())
    build_failure: StackError | None = None
    made: list[Build] = field(default_factory=list)
    known: dict[tuple[str, ...], EngineRecord] = field(default_factory=dict)
    kept: set[tuple[str, ...]] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def find_environment(self, lock: Path, variables: Mapping[str, str]) -> Path:
        return self.environment_of(lock)

    def find_build(self, build: Build) -> Path:
        return Path("/cache/llama.cpp") / build.name

    def list_gpu_builds(self) -> tuple[Build, ...]:
        return tuple(build for build in self.made if build.kind)

    def has_device(self, kind: str) -> bool:
        return True

    def load_toolkit(self, kind: str) -> Toolkit:
        return self.toolkit

    def make(self, file: Path, build: Build, index_url: str, on_line: Report) -> None:
        on_line("compile 50%")
        if self.build_failure:
            raise self.build_failure
        self.made.append(build)

    def load_record(self, form: EngineForm, gpu: bool) -> EngineRecord | None:
        return self.known.get(form.command) or (EngineRecord(works=True) if self.is_known else None)

    def save_record(self, form: EngineForm, gpu: bool, record: EngineRecord, lasting: bool) -> None:
        self.known[form.command] = record
        self.kept |= {form.command} if lasting else set()

    def forget_record(self, form: EngineForm, gpu: bool) -> None:
        self.known.pop(form.command, None)

    def ask(self, command: Sequence[str], environment: Mapping[str, str]) -> TrialResult:
        text = " ".join(command)
        self.asked.append(text)
        found = next((part for part in self.failures if part in text), "")
        is_cured = environment.get("LLAMA_ARG_REPACK") == "0" and found not in self.incurable
        failure = "" if not found or is_cured else self.failures[found]
        return TrialResult(failure, is_lasting=found not in self.passing)
