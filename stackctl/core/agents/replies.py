"""What the agents answered: a result, or the error that a person is shown. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stackctl.core.stack.runtime import Answer
from stackctl.errors import RuntimeFailure

_HINTS = {
    "answer_invalid": "try it again, or ask a larger model with --model",
    "key_refused": "set GATEWAY_KEY in .env to a key of the gateway, or run 'stackctl keys list'",
    "unknown_model": "run 'stackctl config' to see what is served, or leave out --model",
    "too_long_for_model": "shorten the text, or raise CONTEXT_LENGTH in .env",
    "timed_out": "raise AGENTS_TIMEOUT_S in .env, or ask a faster model with --model",
    "busy": "try again in a moment, or raise AGENTS_PARALLEL in .env",
}


class AgentRefusal(RuntimeFailure):
    """The agents did not answer a call.

    Attributes:
        raw_answer: what the model wrote last, where that is why; empty otherwise.
    """

    raw_answer = ""


def describe_progress(answer: Answer) -> str:
    """What the agents say of a call that they work on, as the end of a line; empty where they do not say it."""
    if answer.status != 200:  # the call has ended meanwhile, or the agents are older than this question
        return ""
    try:
        found = json.loads(answer.body)
        ended, most = int(found["attempts"]), int(found["max_attempts"])
        tokens = int(found["prompt_tokens"]) + int(found["completion_tokens"])
    except (ValueError, LookupError, TypeError):
        return ""
    spent = f", {tokens} tokens in those before" if ended else ""
    return f", attempt {min(ended + 1, most)} of {most}{spent}"


def parse_reply(answer: Answer, url: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Result, and how it came about.

    Raises:
        AgentRefusal: there is none.
    """
    if answer.status == 0:
        raise AgentRefusal(
            f"The agents at {url} do not answer: {answer.error}.",
            "put 'agents' into STACK_APPS in .env and run 'stackctl up'",
        )
    try:
        found = json.loads(answer.body)
        if answer.status == 200:
            return dict(found["result"]), dict(found["call"])
        code, title = str(found["code"]), str(found["title"])
    except (ValueError, LookupError, TypeError) as error:
        message = f"What answers at {url} is not the agents: status {answer.status}."
        raise AgentRefusal(message, "look at AGENTS_PORT in .env") from error
    refusal = AgentRefusal(f"The agents refused ({code}): {title}", _HINTS.get(code, "run 'stackctl health'"))
    refusal.raw_answer = str(found.get("raw_answer") or "")
    raise refusal
