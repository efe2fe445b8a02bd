"""What the conversion of Anthropic's Messages costs, beside LiteLLM's: ``PYTHON tests/bench/messages_conversion.py``.

PYTHON is one of an environment of the gateway (``.stack/envs/...``), where LiteLLM is; the same chunks go through both,
as parsed JSON. Prints microseconds of CPU for a chunk and for a request, and what importing costs. Does no I/O but
printing. Takes about twenty seconds; the order is changed in each round, and the least of the rounds is shown.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "services" / "api-gateway"))

CHUNKS, ROUNDS, REQUESTS = 2000, 7, 50
Json = dict[str, Any]


def build_chunks() -> list[Json]:
    """A long answer of text, as llama.cpp sends it."""

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"finish_reason": finish, "index": 0, "delta": delta}
        head = {"created": 1, "id": "chatcmpl-x", "model": "m", "object": "chat.completion.chunk"}
        return {"choices": [choice], **head, "system_fingerprint": "b0"}

    usage = {"completion_tokens": CHUNKS, "prompt_tokens": 22, "total_tokens": CHUNKS + 22}
    return [
        chunk({"role": "assistant", "content": None}),
        *(chunk({"content": f" word{number}"}) for number in range(CHUNKS)),
        chunk({}, "stop"),
        {**chunk({}), "choices": [], "usage": usage},
    ]


def build_request() -> Json:
    """A request of 30 tools and 30 turns, about 60 kB."""
    schema = {
        "type": "object",
        "properties": {f"field{n}": {"type": "string", "description": "x" * 60} for n in range(8)},
    }
    tools = [{"name": f"tool{n}", "description": "y" * 600, "input_schema": schema} for n in range(30)]
    messages: list[Json] = [{"role": "user", "content": "Go on."}]
    for n in range(15):
        call = {"type": "tool_use", "id": f"t{n}", "name": "tool1", "input": {"field1": "z" * 100}}
        result = {"type": "tool_result", "tool_use_id": f"t{n}", "content": [{"type": "text", "text": "r" * 400}]}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    system = [{"type": "text", "text": "s" * 4000, "cache_control": {"type": "ephemeral"}}]
    return {"model": "m", "max_tokens": 100, "system": system, "tools": tools, "messages": messages}


def measure(name: str, work: Callable[[], Any], count: int, unit: str) -> None:
    """Print the least CPU time of the rounds, divided by ``count``."""
    best = min(_time(work) for _ in range(ROUNDS))
    print(f"{name:<42} {best / count * 1e6:8.1f} us a {unit}")


def _time(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def import_with_cost(name: str) -> Any:
    """Import a module and print what that cost."""
    memory, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    module = __import__(name, fromlist=["x"])
    took = time.process_time() - begun
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    print(f"import {name:<35} {took:8.2f} s CPU, {grown / 1024:.0f} MiB more")
    return module


def measure_ours(chunks: list[Json], request: Json) -> None:
    """Our conversion."""
    messages = import_with_cost("gateway.formats.messages")

    def answer() -> bytes:
        one = messages.translate(request)[1]
        return b"".join(map(one.feed, chunks)) + bytes(one.finish())

    measure("ours, answers", answer, len(chunks), "chunk")
    measure("ours, requests", lambda: [messages.translate(request) for _ in range(REQUESTS)], REQUESTS, "request")


def measure_litellm(chunks: list[Json], request: Json) -> None:
    """LiteLLM's conversion, the parts of it that do no I/O."""
    import_with_cost("litellm")
    from litellm.llms.anthropic.pass_through.adapters.streaming_iterator import AnthropicStreamWrapper
    from litellm.llms.anthropic.pass_through.adapters.transformation import LiteLLMAnthropicMessagesAdapter
    from litellm.types.utils import ModelResponseStream

    def parse() -> Iterator[Any]:
        return (ModelResponseStream(**chunk) for chunk in chunks)

    def answer(stream: Any) -> bytes:
        return b"".join(AnthropicStreamWrapper(completion_stream=stream, model="m").anthropic_sse_wrapper())

    adapter = LiteLLMAnthropicMessagesAdapter()
    measure("LiteLLM, answers, its objects included", lambda: answer(parse()), len(chunks), "chunk")

    # It changes the request that it is given, so each call gets one of its own.
    copies = iter([json.loads(json.dumps(request)) for _ in range(ROUNDS * REQUESTS)])

    def convert() -> list[Any]:
        return [adapter.translate_anthropic_to_openai(anthropic_message_request=next(copies)) for _ in range(REQUESTS)]

    measure("LiteLLM, requests", convert, REQUESTS, "request")


if __name__ == "__main__":
    made, asked = build_chunks(), build_request()
    measure_ours(made, asked)
    try:
        measure_litellm(made, asked)
    except ImportError as error:
        print(f"LiteLLM is not here: {error}")
