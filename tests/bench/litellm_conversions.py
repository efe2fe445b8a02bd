"""What converting Responses and Anthropic's events costs, ours and LiteLLM's.

Run as ``PYTHON tests/bench/litellm_conversions.py``. PYTHON is one of an environment of the gateway
(``~/.cache/stackctl/envs/api-gateway-...``), where LiteLLM is; the same chunks go through both, as parsed JSON. Prints
CPU a chunk and a request, what importing LiteLLM costs, and how long an event loop stands still while a thread imports
it. Does no I/O but printing and running itself again. About 40 seconds.
"""

from __future__ import annotations

import asyncio
import copy
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "services" / "api-gateway"))

CHUNKS, ROUNDS, REQUESTS, TICK_S = 2000, 7, 30, 0.001
Json = dict[str, Any]


def build_chunk(finish: str | None = None, **delta: Any) -> Json:
    """A chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def build_request() -> Json:
    """20 tools and 30 calls with their outputs, about what an agent sends: 60 kB."""
    properties = {f"p{number}": {"type": "string", "description": "x" * 60} for number in range(6)}
    schema = {"type": "object", "properties": properties}
    tools = [
        {"type": "function", "name": f"t{number}", "description": "d" * 800, "parameters": schema}
        for number in range(20)
    ]
    items: list[Json] = [{"role": "user", "content": [{"type": "input_text", "text": "y" * 500}]}]
    for number in range(30):
        items.append({"type": "function_call", "call_id": f"c{number}", "name": "t1", "arguments": "{}"})
        items.append({"type": "function_call_output", "call_id": f"c{number}", "output": "z" * 800})
    return {"model": "m", "input": items, "tools": tools}


CONTENT = build_chunk(content="word ")
USAGE = {"prompt_tokens": 1, "completion_tokens": CHUNKS, "total_tokens": CHUNKS + 1}
ENDS = [build_chunk("stop"), {**build_chunk(), "choices": [], "usage": USAGE}]
REQUEST = build_request()
EVENT: Json = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
START: Json = {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {}}}


def measure(run: Callable[[], object], count: int) -> float:
    """Microseconds of CPU for one of ``count`` pieces; the least of the rounds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds) / count * 1e6


def write_own_events() -> None:
    """A streamed answer by our code."""
    from gateway.formats import responses

    _, answer = responses.translate({"model": "m", "input": "hi"})
    for chunk in [CONTENT] * CHUNKS + ENDS:
        answer.feed(chunk)
    answer.finish()


class _Chunks:
    """What LiteLLM's iterator reads from."""

    logging_obj = MagicMock()

    def __init__(self) -> None:
        self._left = iter([CONTENT] * CHUNKS + ENDS)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        from litellm.types.utils import ModelResponseStream

        return ModelResponseStream(**next(self._left))


def write_their_events() -> None:
    """The same answer by LiteLLM's."""
    from litellm.responses.litellm_completion_transformation import streaming_iterator

    events = streaming_iterator.LiteLLMCompletionStreamingIterator(
        model="m", litellm_custom_stream_wrapper=_Chunks(), request_input="hi", responses_api_request={}
    )
    for event in events:
        event.model_dump_json(exclude_none=True)


def read_own_events() -> None:
    """Anthropic's events by our code."""
    from gateway.formats.anthropic import AnthropicChunks

    reader = AnthropicChunks()
    reader.read_event("", START)
    for _ in range(CHUNKS):
        reader.read_event("", EVENT)


def read_their_events() -> None:
    """The same events by LiteLLM's."""
    from litellm.llms.anthropic.chat.handler import ModelResponseIterator

    reader = ModelResponseIterator(streaming_response=iter(()), sync_stream=True)
    for _ in range(CHUNKS):
        reader.chunk_parser(dict(EVENT)).model_dump(exclude_none=True)


def convert_requests_by_litellm() -> None:
    """A Responses request by LiteLLM's code, which changes what it is given."""
    from litellm.responses.litellm_completion_transformation.transformation import LiteLLMCompletionResponsesConfig

    for _ in range(REQUESTS):
        body = copy.deepcopy(REQUEST)
        LiteLLMCompletionResponsesConfig.transform_responses_api_request_to_chat_completion_request(
            model="m", input=body["input"], responses_api_request=body, custom_llm_provider="hosted_vllm"
        )


def measure_stall() -> str:
    """The longest standstills of an event loop while a thread imports LiteLLM; milliseconds."""
    from gateway.formats import litellm_library

    async def run() -> list[float]:
        gaps: list[float] = []

        async def tick() -> None:
            last = time.perf_counter()
            while True:
                await asyncio.sleep(TICK_S)
                now = time.perf_counter()
                gaps.append((now - last - TICK_S) * 1000)
                last = now

        ticking = asyncio.create_task(tick())
        await asyncio.to_thread(litellm_library.load)
        ticking.cancel()
        return sorted(gaps, reverse=True)[:5]

    return ", ".join(f"{gap:.0f}" for gap in asyncio.run(run()))


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] == ["--stall"]:
        print(f"longest standstills during the import in a thread: {measure_stall()} ms")
        return
    from gateway.formats import litellm_library, responses
    from gateway.formats.anthropic import AnthropicDialect

    before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    litellm_library.load()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"importing LiteLLM: {time.process_time() - cpu:.2f} s of CPU, {memory:.0f} MiB")
    warnings.simplefilter("ignore")
    for name, own, theirs in (
        ("Responses, a chunk to events", write_own_events, write_their_events),
        ("Anthropic, an event to a chunk", read_own_events, read_their_events),
    ):
        print(f"{name}: ours {measure(own, CHUNKS):.1f} us, LiteLLM's {measure(theirs, CHUNKS):.1f} us")
    own_ms = measure(lambda: [responses.translate(REQUEST) for _ in range(REQUESTS)], REQUESTS) / 1000
    their_ms = measure(convert_requests_by_litellm, REQUESTS) / 1000
    print(f"Responses, a request of 60 kB to chat: ours {own_ms:.2f} ms, LiteLLM's {their_ms:.2f} ms")
    chat = responses.translate(REQUEST)[0] | {"model": "claude-sonnet-4-5", "max_tokens": 500}
    milliseconds = measure(lambda: [AnthropicDialect().build(chat) for _ in range(REQUESTS)], REQUESTS) / 1000
    print(f"the same as chat to Anthropic, LiteLLM's with our checks: {milliseconds:.2f} ms")
    subprocess.run([sys.executable, __file__, "--stall"], check=True)


if __name__ == "__main__":
    main()
