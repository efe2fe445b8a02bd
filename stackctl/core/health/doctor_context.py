"""Whether agents' first requests fit into the context of each chat model, and what more context costs in memory.

In: a ``DoctorInput``. Out: findings, and what a larger context takes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stackctl.core.health.doctor_input import DoctorInput, ModelEntry
from stackctl.core.health.doctor_models import measure_memory
from stackctl.core.models.files import build_model_header
from stackctl.core.models.fit import GIB, default_context
from stackctl.core.models.kv_cache import CONTEXT_STEP
from stackctl.errors import Finding, Severity

_NAMED = 3
_RECOMMEND = "'stackctl models recommend'"


@dataclass(frozen=True, slots=True)
class ContextNeed:
    """What it takes to give a model a longer context.

    Attributes:
        setting: what gives the model its context: ``CONTEXT_LENGTH``, or a key of `stack.yml`.
        tokens: what it would be set to, for each slot; 0 where the model was not trained for as many as are needed.
        trained: tokens that the model was trained for; 0 where its file does not say.
        more_bytes: what all models that the setting is for take beside what they take now; None where vLLM serves it,
            which takes it from the share of the GPU's memory that it has.
        needed_bytes, available_bytes: what all models would take on the device where least would be left, and what is
            free there for them; None where nobody knows.
        device: the name of that device's memory.
    """

    setting: str
    tokens: int
    trained: int
    more_bytes: int | None = None
    needed_bytes: int = 0
    available_bytes: int | None = None
    device: str = "memory"

    def render_hint(self) -> str:
        """What to set, and what it costs."""
        if not self.tokens:
            return f"choose a model with a longer context, as this one was trained for {self.trained:,}: {_RECOMMEND}"
        place = f"{self.setting}={self.tokens} in .env"
        if self.setting != "CONTEXT_LENGTH":
            place = f"{self.setting}: {self.tokens} in stack.yml"
        if self.more_bytes is None:
            return f"set {place} and run 'stackctl up'; vLLM takes it from its share of the GPU's memory"
        cost = f"{_render_size(self.more_bytes)} more"
        if self.available_bytes is not None:
            needed, free = self.needed_bytes / GIB, self.available_bytes / GIB
            cost += f", {needed:.1f} of {free:.1f} GiB {self.device} in all"
        if self.available_bytes is None or self.needed_bytes <= self.available_bytes:
            return f"set {place} and run 'stackctl up': it takes {cost}"
        return f"{place} takes {cost}: set fewer INFERENCE_SLOTS or KV_CACHE_TYPE=q8_0 with it, or see {_RECOMMEND}"


def check_agents(facts: DoctorInput) -> tuple[Finding, ...]:
    """One warning for each setting whose chat models have less context than agents begin with."""
    found: dict[str, list[ModelEntry]] = {}
    for entry in facts.models:
        if entry.mode == "chat" and entry.tools is not False and _list_short(facts, entry):
            found.setdefault(entry.context_setting, []).append(entry)
    return tuple(_warn(facts, setting, entries) for setting, entries in found.items())


def find_context(entry: ModelEntry) -> int | None:
    """Tokens of each slot; None where the model's file cannot be read."""
    header = build_model_header(entry.files)
    return (entry.context_length or default_context(header)) if header else None


def count_context(facts: DoctorInput, served_name: str, tokens: int) -> ContextNeed | None:
    """What it takes that a model has at least so many tokens; None where it is none of this machine's."""
    entry = next((item for item in facts.models if item.served_name == served_name), None)
    header = build_model_header(entry.files) if entry else None
    if entry is None or header is None:
        return None
    setting, trained = entry.context_setting, header.context_length
    wanted = 1 << (tokens - 1).bit_length()  # a power of two, where the model reaches that far
    if trained and wanted > trained:
        wanted = trained // CONTEXT_STEP * CONTEXT_STEP
    if wanted < tokens:
        return ContextNeed(setting, 0, trained)
    if entry.vllm:
        return ContextNeed(setting, wanted, trained)
    raised = tuple(_raise(item, setting, wanted) for item in facts.models)
    before, after = measure_memory(facts), measure_memory(replace(facts, models=raised))
    more = sum(memory.used_bytes for memory in after) - sum(memory.used_bytes for memory in before)
    left = {
        memory.available_bytes - memory.needed_bytes: memory for memory in after if memory.available_bytes is not None
    }
    if not left:
        return ContextNeed(setting, wanted, trained, more)
    tightest = left[min(left)]
    return ContextNeed(setting, wanted, trained, more, tightest.needed_bytes, tightest.available_bytes, tightest.name)


def _list_short(facts: DoctorInput, entry: ModelEntry) -> list[str]:
    """The agents that begin with more tokens than a model has."""
    tokens = find_context(entry)
    return [agent.title for agent in facts.agents if tokens is not None and agent.tokens > tokens]


def _raise(entry: ModelEntry, setting: str, tokens: int) -> ModelEntry:
    now = find_context(entry)
    is_meant = entry.context_setting == setting and now is not None and now < tokens
    return replace(entry, context_length=tokens) if is_meant else entry


def _warn(facts: DoctorInput, setting: str, entries: Sequence[ModelEntry]) -> Finding:
    """What agents begin with, against the least that these models have."""
    entry = min(entries, key=lambda item: find_context(item) or 0)
    agents = _list_short(facts, entry)
    tokens = max(agent.tokens for agent in facts.agents if agent.title in agents)
    more = f" and {len(agents) - _NAMED} more" if len(agents) > _NAMED else ""
    names = " and ".join(item.served_name for item in entries)
    message = (
        f"{names}: {find_context(entry) or 0:,} tokens, and an agent's first request has about {tokens:,} "
        f"({', '.join(agents[:_NAMED])}{more})"
    )
    need = count_context(facts, entry.served_name, tokens)
    return Finding(setting, message, need.render_hint() if need else f"raise {setting}", Severity.WARNING)


def _render_size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / (1 << 20):.0f} MiB"
