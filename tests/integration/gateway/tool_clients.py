"""The SDKs in the three formats for chats, asked in one way: what is said, called and thought, streamed or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import anthropic
import openai

Json = dict[str, Any]

NO_ARGUMENTS: Json = {"type": "object", "properties": {}}
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["c", "f"]}},
    "required": ["city", "days", "unit"],
    "additionalProperties": False,
}
# By name; the model calls the first letter that the grammar lets through.
TOOLS: Mapping[str, Json] = {"weather": WEATHER, "clock": NO_ARGUMENTS}
# Neither more nor fewer than an answer that calls a tool a few times needs.
MAX_TOKENS = 600


@dataclass(frozen=True)
class ToolCall:
    """One call; ``key`` joins it with its result."""

    key: str
    name: str
    arguments: Any


@dataclass(frozen=True)
class Answer:
    """An answer in no format.

    Attributes:
        prompt_tokens: all of them, whether they were in the cache or not.
        kept: what the next request repeats of it, in the format's own form.
    """

    model: str
    text: str
    thought: str
    calls: tuple[ToolCall, ...]
    end: str
    prompt_tokens: int
    kept: list[Any]


class ToolClient(Protocol):
    """One format of one SDK."""

    def ask(
        self,
        turns: list[Any],
        *,
        model: str = "local-chat",
        stream: bool = False,
        choice: str = "auto",
        parallel: bool = True,
        temperature: float = 0,
        **more: Any,
    ) -> Answer:
        """Ask with both tools; ``choice`` is auto, none, required or a name; ``more`` goes to the SDK as it is."""
        ...

    def count(self, turns: list[Any], choice: str = "auto") -> int:
        """The length of the same request's prompt, in tokens."""
        ...

    def write_results(self, calls: Iterable[ToolCall], text: str) -> list[Any]:
        """The turns that give each call this result."""
        ...


class ChatClient:
    """OpenAI's chat completions."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client: Any = client

    def ask(
        self,
        turns: list[Any],
        *,
        model: str = "local-chat",
        stream: bool = False,
        choice: str = "auto",
        parallel: bool = True,
        temperature: float = 0,
        **more: Any,
    ) -> Answer:
        """See ``ToolClient``."""
        tools = [{"type": "function", "function": {"name": name, "parameters": TOOLS[name]}} for name in TOOLS]
        named = {"type": "function", "function": {"name": choice}} if choice in TOOLS else choice
        fields = {"model": model, "messages": turns, "tools": tools, "tool_choice": named, "temperature": temperature}
        fields |= {"max_tokens": MAX_TOKENS, "parallel_tool_calls": parallel, **more}
        if stream:
            with self._client.chat.completions.stream(**fields, stream_options={"include_usage": True}) as events:
                events.until_done()
                value = events.get_final_completion()
        else:
            value = self._client.chat.completions.create(**fields)
        message = value.choices[0].message
        calls = message.tool_calls or ()
        kept: Json = {"role": "assistant", "content": message.content}
        if calls:
            kept["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in calls
            ]
        return Answer(
            model=value.model,
            text=message.content or "",
            thought=getattr(message, "reasoning_content", None) or "",
            calls=tuple(ToolCall(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls),
            end=value.choices[0].finish_reason,
            prompt_tokens=value.usage.prompt_tokens,
            kept=[kept],
        )

    def count(self, turns: list[Any], choice: str = "auto") -> int:
        """See ``ToolClient``."""
        raise NotImplementedError("chat completions have no way to count")

    def write_results(self, calls: Iterable[ToolCall], text: str) -> list[Any]:
        """See ``ToolClient``."""
        return [{"role": "tool", "tool_call_id": call.key, "content": text} for call in calls]


class ResponsesClient:
    """OpenAI's responses."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client: Any = client

    def ask(
        self,
        turns: list[Any],
        *,
        model: str = "local-chat",
        stream: bool = False,
        choice: str = "auto",
        parallel: bool = True,
        temperature: float = 0,
        **more: Any,
    ) -> Answer:
        """See ``ToolClient``."""
        fields = self._build(turns, choice) | {"model": model, "temperature": temperature, **more}
        fields |= {"max_output_tokens": MAX_TOKENS, "parallel_tool_calls": parallel}
        if stream:
            with self._client.responses.stream(**fields) as events:
                events.until_done()
                value = events.get_final_response()
        else:
            value = self._client.responses.create(**fields)
        items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in value.output]
        thoughts = [part["text"] for item in items if item["type"] == "reasoning" for part in item.get("content", ())]
        return Answer(
            model=value.model,
            text=value.output_text,
            thought="".join(thoughts),
            calls=tuple(
                ToolCall(item["call_id"], item["name"], json.loads(item["arguments"]))
                for item in items
                if item["type"] == "function_call"
            ),
            end=value.status,
            prompt_tokens=value.usage.input_tokens,
            kept=items,
        )

    def _build(self, turns: list[Any], choice: str) -> Json:
        tools = [{"type": "function", "name": name, "parameters": TOOLS[name], "strict": False} for name in TOOLS]
        named = {"type": "function", "name": choice} if choice in TOOLS else choice
        return {"input": turns, "tools": tools, "tool_choice": named}

    def count(self, turns: list[Any], choice: str = "auto") -> int:
        """See ``ToolClient``."""
        found = self._client.responses.input_tokens.count(model="local-chat", **self._build(turns, choice))
        return int(found.input_tokens)

    def write_results(self, calls: Iterable[ToolCall], text: str) -> list[Any]:
        """See ``ToolClient``."""
        return [{"type": "function_call_output", "call_id": call.key, "output": text} for call in calls]


class MessagesClient:
    """Anthropic's messages."""

    _CHOICES: Mapping[str, Json] = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}

    def __init__(self, client: anthropic.Anthropic) -> None:
        self._client: Any = client

    def ask(
        self,
        turns: list[Any],
        *,
        model: str = "local-chat",
        stream: bool = False,
        choice: str = "auto",
        parallel: bool = True,
        temperature: float = 0,
        **more: Any,
    ) -> Answer:
        """See ``ToolClient``."""
        fields = self._build(turns, choice, parallel) | {"model": model, "max_tokens": MAX_TOKENS, **more}
        # The client has no argument for it any more.
        fields["extra_body"] = {"temperature": temperature}
        if stream:
            with self._client.messages.stream(**fields) as events:
                value = events.get_final_message()
        else:
            value = self._client.messages.create(**fields)
        blocks = value.content
        return Answer(
            model=value.model,
            text="".join(block.text for block in blocks if block.type == "text"),
            thought="".join(block.thinking for block in blocks if block.type == "thinking"),
            calls=tuple(ToolCall(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"),
            end=value.stop_reason,
            prompt_tokens=value.usage.input_tokens + value.usage.cache_read_input_tokens,
            kept=[{"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in blocks]}],
        )

    def _build(self, turns: list[Any], choice: str, parallel: bool = True) -> Json:
        tools = [{"name": name, "input_schema": TOOLS[name]} for name in TOOLS]
        named = self._CHOICES.get(choice, {"type": "tool", "name": choice})
        single = {} if parallel else {"disable_parallel_tool_use": True}
        return {"messages": turns, "tools": tools, "tool_choice": named | single}

    def count(self, turns: list[Any], choice: str = "auto") -> int:
        """See ``ToolClient``."""
        found = self._client.messages.count_tokens(model="local-chat", **self._build(turns, choice))
        return int(found.input_tokens)

    def write_results(self, calls: Iterable[ToolCall], text: str) -> list[Any]:
        """See ``ToolClient``."""
        results = [{"type": "tool_result", "tool_use_id": call.key, "content": text} for call in calls]
        return [{"role": "user", "content": results}]
