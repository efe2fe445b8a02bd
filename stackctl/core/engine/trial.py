"""What an engine did when it was asked the demo's question, in words, and what is done about one that died. Pure.

In: what ``services/inference/engine_trial.py`` prints. Out: a ``TrialResult``, or the ``EngineRecord`` that this
machine keeps of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

# Starts a llama.cpp whose kernels for repacked weights, AMX's among them, kill it or compute nonsense. On a CPU with
# AMX it answers prompts at about a third of the speed; on others the price is smaller.
REPACK_OFF: Final[Mapping[str, str]] = {"LLAMA_ARG_REPACK": "0"}


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of one question to one engine.

    Attributes:
        failure: what the engine did instead of giving the right answer, as a clause that follows its name; empty when
            it gave it.
        is_lasting: whether the engine would fail so again here; a missing library or a busy machine may not stay.
        signal: name of the signal that killed the engine, such as ``SIGSEGV``; empty when none did.
        log: last lines that the engine wrote.
    """

    failure: str = ""
    is_lasting: bool = True
    signal: str = ""
    elapsed_s: float = 0.0
    log: tuple[str, ...] = ()


def parse_trial(text: str) -> TrialResult | None:
    """Read the trial's JSON; ``None`` when the text is something else."""
    try:
        values = json.loads(text)
        values["log"] = tuple(str(line) for line in values["log"])
        return TrialResult(**values)
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """What this machine knows of an engine that was asked.

    Attributes:
        works: whether the engine answered, with its remedy where it needs one.
        environment: the remedy: variables without which it does not work.
        reason: what the engine did without the remedy, as a clause that follows its name; empty when it needs none.
    """

    works: bool
    environment: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether the engine works as it is, without a remedy."""
        return self.works and not self.environment

    def render_remedy(self) -> str:
        """The remedy in words: ``LLAMA_ARG_REPACK=0``."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.environment.items()))


def write_record(record: EngineRecord) -> str:
    """The record as text."""
    return json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"


def parse_record(text: str | None) -> EngineRecord | None:
    """Read a record's text; ``None`` where there is none or it is not ours."""
    try:
        values = json.loads(text or "")
        environment = {str(name): str(value) for name, value in values["environment"].items()}
        return EngineRecord(bool(values["works"]), environment, str(values["reason"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
