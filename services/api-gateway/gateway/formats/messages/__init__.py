"""Anthropic's Messages as OpenAI's chat completions: requests there, answers back. Pure, and without LiteLLM.

In: a body of ``/v1/messages`` or ``/v1/messages/count_tokens``, then parsed chunks of a chat completion. Out: the body
of a chat completion, then Anthropic's events or message. What no server of chat completions can do is refused.

Source: Anthropic's Messages API of version 2023-06-01; OpenAI's chat completions as llama.cpp's server speaks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.formats.messages.answer import MessagesAnswer
from gateway.formats.messages.request import build_chat_body, keep_openai_fields, list_stop_sequences
from gateway.formats.messages.thinking import read_thinking
from gateway.formats.messages.tools import wants_one_call

__all__ = ["MessagesAnswer", "build_count_body", "keep_openai_fields", "translate"]

# What decides how an answer is sampled, not what the prompt is.
_SAMPLING = frozenset({"max_tokens", "temperature", "top_p", "top_k", "stop", "verbose", "response_fields"})


def translate(body: Mapping[str, Any]) -> tuple[dict[str, Any], MessagesAnswer]:
    """The chat completion to ask for, and what makes Anthropic's answer of it.

    Args:
        body: a request of ``/v1/messages`` whose fields the allow-list has let through; ``model`` is a text.

    Raises:
        RefusedError: 400 for what cannot be honoured or is no such request; ``param`` is the field.
    """
    chat_body = build_chat_body(body)
    stops = list_stop_sequences(body)
    return chat_body, MessagesAnswer(body["model"], read_thinking(body), stops, wants_one_call(body))


def build_count_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The chat completion whose prompt a request of ``/v1/messages/count_tokens`` asks the length of.

    An engine's ``/v1/chat/completions/input_tokens`` answers ``{"input_tokens": N}`` for it, tools and template
    included: the same N that its usage has when the request itself is made.

    Raises:
        RefusedError: as ``translate``.
    """
    return {name: value for name, value in build_chat_body(body).items() if name not in _SAMPLING}
