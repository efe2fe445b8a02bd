"""Whether a model shall think and whether the client sees it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from gateway.formats.messages.refusal import refuse

# llama.cpp's templates print the effort as it is; all know these three. Anthropic has two more above them.
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_TYPES = ("enabled", "adaptive", "between_tools", "disabled")


class Thinking(Enum):
    """What becomes of what a model thinks."""

    SHOWN = "shown"
    # A client that wants the block and not its text, as Anthropic's `display: omitted` says.
    OMITTED = "omitted"
    DISABLED = "disabled"


def read_thinking(body: Mapping[str, Any]) -> Thinking:
    """What the request says; a request that says nothing sees what a model thinks, if it does.

    Raises:
        RefusedError: 400 when the field is malformed.
    """
    config = body.get("thinking")
    if config is None:
        return Thinking.SHOWN
    if not isinstance(config, Mapping) or config.get("type") not in _TYPES:
        raise refuse("thinking.type", f"one of {', '.join(_TYPES)} is expected")
    if config["type"] == "disabled":
        return Thinking.DISABLED
    return Thinking.OMITTED if config.get("display") == "omitted" else Thinking.SHOWN


def build_thinking_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a chat completion that say the same.

    ``chat_template_kwargs`` and ``thinking_budget_tokens`` are llama.cpp's, the former vLLM's too.
    """
    fields: dict[str, Any] = {}
    config = body.get("thinking")
    if read_thinking(body) is Thinking.DISABLED:
        fields["chat_template_kwargs"] = {"enable_thinking": False}
    elif isinstance(config, Mapping) and config["type"] == "enabled":
        budget = config.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
            raise refuse("thinking.budget_tokens", "a number of tokens is expected")
        fields["chat_template_kwargs"] = {"enable_thinking": True}
        fields["thinking_budget_tokens"] = budget
    effort = _read_effort(body)
    if effort is not None and read_thinking(body) is not Thinking.DISABLED:
        fields["reasoning_effort"] = effort
    return fields


def _read_effort(body: Mapping[str, Any]) -> str | None:
    config = body.get("output_config")
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise refuse("output_config", "an object is expected")
    effort = config.get("effort")
    if effort is None:
        return None
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise refuse("output_config.effort", f"one of {', '.join(_EFFORTS)} is expected")
    return _EFFORTS[effort]
