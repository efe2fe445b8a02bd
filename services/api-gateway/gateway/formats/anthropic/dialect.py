"""A chat completion's body as one of Anthropic's ``POST /v1/messages``. Pure but for importing LiteLLM.

LiteLLM converts; what it leaves that Anthropic would refuse is mended here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from gateway.errors import ApiError, RefusedError
from gateway.formats import litellm_library
from gateway.formats.anthropic.checks import check_messages, select_fields
from gateway.formats.anthropic.chunks import AnthropicChunks

VERSION = "2023-06-01"
# Left in the body by LiteLLM's conversion, for its own reader.
_INTERNAL = ("json_mode", "extra_headers")
# What of a request a prompt is made of.
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking")
# Fields that OpenAI does not have: LiteLLM takes them as they are.
_ANTHROPICS_OWN = ("top_k",)
# The least that a model may be given to think; Anthropic refuses less.
_MIN_THINKING_TOKENS = 1024
# What LiteLLM's conversion raises for a value, deep in a schema or a part, that is not of the form it expects.
_OF_THE_REQUEST = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class ConversionError(Exception):
    """LiteLLM failed where the request is not at fault: a defect of ours or of it. Holds nothing of the request."""


class AnthropicDialect:
    """One request: ``build`` first, then ``headers`` and ``read_chunks`` are for its answer."""

    def __init__(self) -> None:
        self._parts = litellm_library.load()
        self._names: Mapping[str, str] = {}
        self._json_tool = ""
        self.headers: Mapping[str, str] = {"anthropic-version": VERSION}

    def build(self, chat_body: Mapping[str, Any]) -> dict[str, Any]:
        """The body to send, always streamed.

        Args:
            chat_body: with the server's own name of the model; not changed.

        Raises:
            RefusedError: 400 for what the format cannot hold.
            ConversionError: a defect.
        """
        fields, messages = select_fields(chat_body), check_messages(chat_body)
        body, headers = self._convert(str(chat_body["model"]), messages, fields)
        self.headers = {**headers, **self.headers}
        for name in _INTERNAL:
            body.pop(name, None)
        _fit_thinking(body, messages)
        self._note_added_tools(body, fields)
        return {**body, "stream": True}

    def build_count_body(self, chat_body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of ``POST /v1/messages/count_tokens`` for the same request.

        Raises:
            RefusedError, ConversionError: as ``build``.
        """
        body = self.build(chat_body)
        return {name: body[name] for name in _COUNTED if name in body}

    def _note_added_tools(self, body: dict[str, Any], fields: Mapping[str, Any]) -> None:
        """Know the tool that stands for a response format, and let no tool be called that only fills a hole. In place.

        Anthropic wants tools where the messages hold a call; LiteLLM makes one up where the request has none left.
        """
        asked = {tool["function"]["name"] for tool in fields.get("tools", ())}
        added = {tool.get("name") for tool in body.get("tools") or ()}
        if self._parts.json_tool in added - asked:
            self._json_tool = self._parts.json_tool
        elif added and not asked:
            body["tool_choice"] = {"type": "none"}

    def read_chunks(self) -> AnthropicChunks:
        """What reads the answer's events."""
        return AnthropicChunks(self._names, self._json_tool)

    def _convert(
        self, model: str, messages: list[dict[str, Any]], fields: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """LiteLLM's conversion. It changes what it is given, and its sentences hold the request: neither gets out."""
        config = self._parts.config()
        headers: dict[str, str] = {}
        found: dict[str, Any] = {}
        own = {name: fields[name] for name in _ANTHROPICS_OWN if name in fields}
        try:
            options = config.map_openai_params(
                non_default_params=copy.deepcopy(fields), optional_params=own, model=model, drop_params=True
            )
            body = config.transform_request(
                model=model,
                messages=copy.deepcopy(messages),
                optional_params=options,
                litellm_params=found,
                headers=headers,
            )
        except Exception as error:
            status = getattr(error, "status_code", None)
            if isinstance(error, _OF_THE_REQUEST) or (isinstance(status, int) and 400 <= status < 500):
                text = "This request cannot be written in Anthropic's format, which the model's server speaks."
                raise RefusedError(ApiError(400, "unsupported_request", text)) from None
            raise ConversionError(f"LiteLLM's conversion to Anthropic's format: {type(error).__name__}") from None
        self._names = found.get(self._parts.names_key) or {}
        return body, headers


def _fit_thinking(body: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """Let the model think only where Anthropic allows it with the rest of the request, and with room for an answer.

    The thoughts of an earlier step are signed, and no other format carries the signature: the step after a tool call
    goes without thinking. In place.
    """
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") == "disabled":
        return
    forces_tool = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    budget, limit = thinking.get("budget_tokens"), body["max_tokens"]
    has_room = budget is None or limit > _MIN_THINKING_TOKENS
    if forces_tool or not has_room or messages[-1]["role"] == "tool":
        del body["thinking"]
        return
    if budget is not None and budget >= limit:
        body["thinking"] = {**thinking, "budget_tokens": max(_MIN_THINKING_TOKENS, limit // 2)}
    for name in ("temperature", "top_k", "top_p"):  # refused beside thinking
        body.pop(name, None)
