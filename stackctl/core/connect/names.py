"""Names of models that tools ask for by themselves, and the aliases under which the gateway answers to them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from stackctl.core.connect.values import Gateway, Tool
from stackctl.core.gateway.aliases import covers_alias

# What a tool asks for beside the model that it was given: where its own file is not read, when somebody chooses by the
# maker's name, or for a part of its work that has a model of its own (titles, reviews, the grading of answers).
NAMES = MappingProxyType(
    {
        "claude-code": ("claude-*",),
        "codex": ("gpt-*", "codex-*"),
        "goose": ("gpt-*",),
        "promptfoo": ("gpt-*", "text-embedding-*"),
    }
)
_EMBEDDING = "text-embedding-"


class AliasState(StrEnum):
    """How far an alias has come: the gateway answers to it, it waits in `stack.yml` for ``up``, or it is nowhere."""

    ANSWERED = "answered"
    WRITTEN = "written"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name or a pattern of names, and the model that answers to it."""

    name: str
    model: str
    state: AliasState


def find_aliases(
    tool: Tool, gateway: Gateway, answered: Mapping[str, str], written: Mapping[str, str] | None
) -> tuple[Alias, ...]:
    """Each name that a tool insists on, with what answers to it or would have to.

    Args:
        answered: the gateway's aliases in the order they are looked up, each with its model.
        written: those of this site's `stack.yml`; None where the gateway is another site's.

    Returns:
        The aliases that stand for all or some of these names, in their order; behind them, for each name that none
        stands for as a whole, the one that is missing.
    """
    known = answered if written is None else written
    found: dict[str, Alias] = {}
    for name in NAMES.get(tool.name, ()):
        model = gateway.embed if name.startswith(_EMBEDDING) else gateway.chat.name
        is_covered = not model
        for match in known if model else ():
            is_covered = covers_alias(match, name)
            if is_covered or covers_alias(name, match):
                state = AliasState.ANSWERED if answered.get(match) == known[match] else AliasState.WRITTEN
                found[match] = Alias(match, known[match], state)
            if is_covered:
                break
        if not is_covered:
            found[name] = Alias(name, model, AliasState.MISSING)
    return tuple(found.values())


def list_missing(aliases: Sequence[Alias]) -> dict[str, str]:
    """What `stack.yml` would have to say: each missing name with its model."""
    return {alias.name: alias.model for alias in aliases if alias.state is AliasState.MISSING}
