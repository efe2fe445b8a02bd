"""OpenAI's client, in both of its formats, at a provider that speaks Anthropic's, through the running gateway."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall

from stackctl.adapters.process.drill_gateway import DrillGateway
from tests.http_server import QuietHandler, serve_http
from tests.integration.gateway.drilled import run_gateway
from tests.integration.stack_site import DEADLINE_S

Json = dict[str, Any]

KEY = "sk-ant-of-the-test"
SERVER_MODEL = "claude-sonnet-4-5-20250929"
CONFIGURATION = """
model_list:
  - model_name: claude
    litellm_params: {{model: anthropic/{model}, api_base: "http://{address}", api_key: os.environ/ANTHROPIC_API_KEY}}
    model_info: {{mode: chat}}
gateway:
  providers: {{anthropic: {{kind: anthropic}}}}
  models: {{claude: {{provider: anthropic}}}}
"""
PARAMETERS: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOL: Json = {"type": "function", "function": {"name": "weather.now", "parameters": PARAMETERS}}
TOOL: Json = {"type": "function", "name": "weather.now", "parameters": PARAMETERS}


@dataclass
class Seen:
    """What the provider was asked last."""

    headers: dict[str, str] = field(default_factory=dict)
    body: Json = field(default_factory=dict)


def _list_events(body: Json) -> Iterable[Json]:
    """Call the first tool, and once there is its result, or none, say so."""
    usage = {"input_tokens": 40, "cache_read_input_tokens": 2, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": SERVER_MODEL, "content": []}
    yield {"type": "message_start", "message": message | {"usage": usage}}
    last = body["messages"][-1]["content"]
    if body.get("tools") and not any(block["type"] == "tool_result" for block in last):
        block: Json = {"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": {}}
        deltas: list[Json] = [
            {"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"city":', '"Rome"}')
        ]
        reason = "tool_use"
    else:
        block = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in ("Sun", "ny")]
        reason = "end_turn"
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "ping"}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 9},
    }
    yield {"type": "message_stop"}


class _Anthropic(QuietHandler):
    seen: ClassVar[Seen] = Seen()

    def do_POST(self) -> None:
        self.seen.headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/messages/count_tokens":
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"input_tokens": 33}')
            return
        self.send_response(200 if self.path == "/v1/messages" else 404)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in _list_events(self.seen.body):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


@pytest.fixture(scope="module")
def gateway() -> Iterator[DrillGateway]:
    with serve_http(_Anthropic) as address:
        configuration = CONFIGURATION.format(model=SERVER_MODEL, address=address)
        with run_gateway(configuration, ANTHROPIC_API_KEY=KEY) as running:
            yield running


@pytest.fixture(scope="module")
def client(gateway: DrillGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, timeout=DEADLINE_S, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_chat_calls_a_tool_and_takes_its_result(client: openai.OpenAI, is_streamed: bool) -> None:
    request: Json = {"model": "claude", "messages": [{"role": "user", "content": "Weather?"}], "tools": [CHAT_TOOL]}
    if is_streamed:
        with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
            completion: Any = [event.type for event in events] and events.get_final_completion()
    else:
        completion = client.chat.completions.create(**request)
    (choice,) = completion.choices
    (call,) = choice.message.tool_calls
    # Anthropic takes no dot in a name; the client hears its own
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather.now", {"city": "Rome"})
    assert (choice.finish_reason, completion.model) == ("tool_calls", "claude")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (42, 9)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turn = {"role": "assistant", "tool_calls": [call.to_dict()]}
    answer = client.chat.completions.create(**{**request, "messages": [*request["messages"], turn, result]})
    assert answer.choices[0].message.content == "Sunny"


def test_a_response_calls_a_tool_and_takes_its_result(client: openai.OpenAI) -> None:
    request: Json = {"model": "claude", "input": [{"role": "user", "content": "Weather?"}], "tools": [TOOL]}
    with client.responses.stream(**request) as events:
        types = [event.type for event in events]
        response = events.get_final_response()
    assert types.count("response.function_call_arguments.delta") == 2
    (call,) = response.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, json.loads(call.arguments)) == ("weather.now", {"city": "Rome"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answer = client.responses.create(**{**request, "input": [*request["input"], call.to_dict(), result]})
    assert (answer.output_text, answer.model) == ("Sunny", "claude")
    assert answer.usage
    assert answer.usage.input_tokens_details.cached_tokens == 2


def test_the_provider_is_asked_in_its_own_format(client: openai.OpenAI) -> None:
    client.chat.completions.create(
        model="claude",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
        max_tokens=50,
        temperature=1.5,
        stop=["."],
    )
    seen = _Anthropic.seen
    assert (seen.headers["x-api-key"], seen.headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in seen.headers
    assert seen.body == {
        "model": SERVER_MODEL,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}],
        "max_tokens": 50,
        "temperature": 1,
        "stop_sequences": ["."],
        "stream": True,
    }


def test_a_responses_tokens_are_counted_by_the_provider(client: openai.OpenAI) -> None:
    request: Json = {"model": "claude", "instructions": "Be brief.", "input": "Weather?", "tools": [TOOL]}
    assert client.responses.input_tokens.count(**request).input_tokens == 33
    assert _Anthropic.seen.body.keys() == {"model", "system", "messages", "tools"}


def test_what_the_provider_cannot_do_is_refused_in_words(client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "http://10.0.0.1/a.png"}}
    with pytest.raises(openai.BadRequestError, match="data: URL") as refused:
        client.chat.completions.create(model="claude", messages=[{"role": "user", "content": [image]}])  # type: ignore[list-item, misc]
    assert refused.value.param == "messages[0].content[0].image_url"


def _has_litellm(gateway: DrillGateway) -> bool:
    """Whether it is loaded: nothing else of the gateway brings pydantic's library with it."""
    return "pydantic_core" in Path(f"/proc/{gateway.pid}/maps").read_text(encoding="utf-8")


def test_litellm_is_loaded_where_a_provider_needs_it(gateway: DrillGateway) -> None:
    assert _has_litellm(gateway)


@pytest.mark.parametrize(
    "change", [("kind: anthropic", "kind: openai-compatible"), ("gateway:", "gateway:\n  formats: [messages]")]
)
def test_litellm_is_not_loaded_elsewhere(change: tuple[str, str]) -> None:
    configuration = CONFIGURATION.format(model=SERVER_MODEL, address="127.0.0.1:9").replace(*change)
    with run_gateway(configuration, ANTHROPIC_API_KEY=KEY) as running:
        assert not _has_litellm(running)


def test_nothing_of_litellm_is_in_the_log(gateway: DrillGateway) -> None:
    assert "litellm" not in gateway.log.read_text(encoding="utf-8").lower()
