"""A whole chat completion, as the gateway gives it. Pure."""

from __future__ import annotations

from typing import Any

from chat_api.exceptions.chat_exceptions import OpenAIClientException


def read_completion(found: Any) -> tuple[str, dict[str, Any]]:
    """The text and the usage of a completion.

    Raises:
        OpenAIClientException: it is none.
    """
    try:
        text = found["choices"][0]["message"].get("content")
        usage = found.get("usage") or {}
    except (AttributeError, IndexError, KeyError, TypeError):
        raise OpenAIClientException("gateway_broken_answer") from None
    return text if isinstance(text, str) else "", usage if isinstance(usage, dict) else {}


def read_count(usage: dict[str, Any], name: str) -> int:
    """A number of tokens; 0 where it is not said."""
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else 0
