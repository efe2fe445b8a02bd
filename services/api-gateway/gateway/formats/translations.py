"""Which conversion serves which format. Pure.

Messages and Responses are converted to chat completions and back by this package. Servers that speak Anthropic's format
are LiteLLM's to convert for: ``load_dialect`` imports it, which takes two seconds, where the configuration needs that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from gateway.formats import litellm_library, messages, responses
from gateway.formats.anthropic import AnthropicDialect
from gateway.formats.client import ClientAnswer

_TRANSLATE: Mapping[str, Callable[[dict[str, Any]], tuple[dict[str, Any], ClientAnswer]]] = {
    "messages": messages.translate,
    "responses": responses.translate,
}


def translate(client_format: str, fields: Mapping[str, Any]) -> tuple[dict[str, Any], ClientAnswer]:
    """A request's fields as those of a chat completion, and the writer of its answer.

    Raises:
        RefusedError: 400 for what cannot be honoured, naming the field.
    """
    return _TRANSLATE[client_format](dict(fields))


def keep_openai_fields(client_format: str, chat: dict[str, Any]) -> dict[str, Any]:
    """A translated chat completion for a server that refuses what OpenAI's format has not; any other as it is."""
    if client_format == "messages":
        return messages.keep_openai_fields(chat)
    return responses.keep_openai_fields(chat) if client_format == "responses" else chat


def build_count_body(client_format: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The chat completion whose prompt is to be counted.

    Raises:
        RefusedError: as ``translate``.
    """
    if client_format == "messages_count":
        return messages.build_count_body(fields)
    return translate("responses", fields)[0]


def find_dialect() -> AnthropicDialect:
    """The conversion of one chat completion to Anthropic's format."""
    return AnthropicDialect()


def needs_dialect(formats: Collection[str]) -> bool:
    """Whether a client of these formats, sent to Anthropic's servers, needs the conversion: Messages are theirs."""
    return any(name in formats for name in ("chat", "responses"))


def load_dialect() -> None:
    """Import LiteLLM, so that no request waits for it and no running stream stands still. Takes seconds."""
    litellm_library.load()
