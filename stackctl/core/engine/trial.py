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
        failure: what it did instead of giving the right answer, a clause that follows its name; empty when it did.
        is_lasting: whether it would do the same again here; a missing library or a busy machine may not stay.
        signal: name of the signal that it died of, empty when it did not.
        log: its last lines.
    """

    failure: str = ""
    is_lasting: bool = True
    signal: str = ""
    elapsed_s: float = 0.0
    log: tuple[str, ...] = ()


def parse_trial(text: str) -> TrialResult | None:
    """The trial's JSON; ``None`` when it is none."""
    try:
        values = json.loads(text)
        values["log"] = tuple(str(line) for line in values["log"])
        return TrialResult(**values)
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """What this machine knows of an engine since it was asked.

    Attributes:
        works: whether it answered, with its remedy where it needs one.
        environment: the remedy: variables without which it does not work.
        reason: what it did without the remedy, a clause that follows its name; empty when it needs none.
    """

    works: bool
    environment: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it works as it is."""
        return self.works and not self.environment

    def render_remedy(self) -> str:
        """``LLAMA_ARG_REPACK=0``."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.environment.items()))


def write_record(record: EngineRecord) -> str:
    """The record as text."""
    return json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"


def parse_record(text: str | None) -> EngineRecord | None:
    """The record of a text; ``None`` where there is none or it is not ours."""
    try:
        values = json.loads(text or "")
        environment = {str(name): str(value) for name, value in values["environment"].items()}
        return EngineRecord(bool(values["works"]), environment, str(values["reason"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
