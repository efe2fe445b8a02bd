"""How a model of this site is given the context that a tool needs, and what it costs. Does I/O through its effects."""

from __future__ import annotations

from stackctl.core.connect.values import Model
from stackctl.core.health.doctor_context import count_context, find_context
from stackctl.errors import StackError
from stackctl.operations.effects import Effects
from stackctl.operations.look.doctor import build_input
from stackctl.operations.site.load import load_site

_ASK_DOCTOR = "raise its context: 'stackctl doctor' says how, and what it costs"


def advise_context(effects: Effects, model: Model, tokens: int) -> str:
    """What to set so that a model has at least so many tokens, and what that takes of this machine's memory."""
    try:
        facts, _ = build_input(effects, effects.machine.load_host(True), load_site(effects))
    except StackError:  # what is wrong with this site or this machine is not a tool's to say
        return _ASK_DOCTOR
    entry = next((item for item in facts.models if item.served_name == model.name), None)
    if entry is None:
        return f"'{model.name}' is not this machine's: raise the context where it is served, or choose another --model"
    if (find_context(entry) or 0) >= tokens:
        return f"{entry.context_setting} is long enough already: 'stackctl up' applies it"
    need = count_context(facts, model.name, tokens)
    return need.render_hint() if need else _ASK_DOCTOR
