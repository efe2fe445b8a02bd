"""How an answer ended and what it took: stop reasons and usage, in Anthropic's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def build_stop(finish: Any, sequence: str | None, has_call: bool) -> dict[str, Any]:
    """Stop reason and stop sequence.

    Args:
        finish: the ``finish_reason`` of the chat completion.
        sequence: the client's stop sequence that ended the answer, where the server told it.
        has_call: whether the answer has a tool call: some servers say ``stop`` then, and an agent would end there.
    """
    reason = _STOP_REASONS.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"
    if reason in ("end_turn", "tool_use"):
        reason = "tool_use" if has_call else "stop_sequence" if sequence else "end_turn"
    return {"stop_reason": reason, "stop_sequence": sequence if reason == "stop_sequence" else None}


def find_stop_sequence(answer: Mapping[str, Any], choice: Mapping[str, Any], stops: Sequence[str]) -> str | None:
    """The stop sequence that a chunk or a whole answer tells of, if it is one of the client's.

    llama.cpp has it in ``__verbose`` when it is asked, vLLM in the choice's ``stop_reason``; OpenAI's format has no
    place for it, and then an answer that a stop sequence ended looks like one that the model ended.
    """
    details = answer.get("__verbose")
    word = details.get("stopping_word") if isinstance(details, Mapping) else None
    for candidate in (word, choice.get("stop_reason")):
        if isinstance(candidate, str) and candidate in stops:
            return candidate
    return None


def build_usage(usage: Any, output_estimate: int = 0) -> dict[str, Any]:
    """Anthropic's usage of OpenAI's; ``input_tokens`` are those that came from no cache.

    Args:
        output_estimate: number of output tokens to tell, marked as an estimate, when the server told none.
    """
    if not isinstance(usage, Mapping) or not isinstance(usage.get("completion_tokens"), int):
        return {"output_tokens": output_estimate, "estimated": True}
    cached = _read_count(usage.get("prompt_tokens_details"), "cached_tokens")
    built = {
        **build_input_usage(_read_count(usage, "prompt_tokens"), cached),
        "output_tokens": usage["completion_tokens"],
    }
    if thinking := _read_count(usage.get("completion_tokens_details"), "reasoning_tokens"):
        built["output_tokens_details"] = {"thinking_tokens": thinking}
    return built


def build_input_usage(total: int, cached: int) -> dict[str, Any]:
    """The part of the usage that is known before the answer begins."""
    return {
        "input_tokens": max(total - cached, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
    }


def read_progress(progress: Any) -> tuple[int, int]:
    """Tokens of the prompt and how many of them came from the cache, of llama.cpp's ``prompt_progress``."""
    return _read_count(progress, "total"), _read_count(progress, "cache")


def _read_count(values: Any, name: str) -> int:
    count = values.get(name) if isinstance(values, Mapping) else None
    return count if isinstance(count, int) else 0
