"""What the gateway relies on in LiteLLM, in its lock file's version: an upgrade that moves it fails by name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.process import environments
from tests.integration.stack_site import REPOSITORY

SERVICE = REPOSITORY / "services" / "api-gateway"
PROGRAM = Path(__file__).with_name("litellm_program.py")
TIMEOUT_S = 240.0
CANARY = "canary-7f3a"
SONNET, HAIKU, ADAPTIVE, NEWEST = "claude-sonnet-4-5", "claude-3-haiku-20240307", "claude-opus-4-7", "claude-none-9-9"

USER: dict[str, Any] = {"role": "user", "content": "Go"}
ANSWERED = [{"role": "user", "content": [{"type": "text", "text": "Go"}]}]
READ: dict[str, Any] = {
    "type": "function",
    "function": {"name": "files/read", "description": "d", "parameters": {"type": "object", "properties": {"a": {}}}},
}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORMAT: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
PNG = "iVBORw0KGgo="


def chat(model: str = SONNET, messages: Any = None, **fields: Any) -> dict[str, Any]:
    """A chat body as the gateway's lanes give it."""
    added = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": model, "messages": messages or [USER], "max_tokens": 100} | added | fields


def call(call_id: str, arguments: str) -> dict[str, Any]:
    """A call of the tool, as chat completions has it."""
    return {"id": call_id, "type": "function", "function": {"name": "files/read", "arguments": arguments}}


HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "See"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "image_url", "image_url": {"url": "https://127.0.0.1:9/a.png"}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [call("c1", '{"a": 1}'), call("c2", "")]},
    {"role": "tool", "tool_call_id": "c1", "content": "one"},
    {"role": "tool", "tool_call_id": "c2", "content": "two"},
    {"role": "user", "content": "And?"},
]
CASES: dict[str, dict[str, Any]] = {
    "plain": chat(temperature=0.2, stop=["x"], user="u1", top_k=3, seed=1),
    "default length": chat(max_tokens=None),
    "history": chat(messages=HISTORY, tools=[READ], parallel_tool_calls=False),
    "named tool": chat(tools=[READ], tool_choice={"type": "function", "function": {"name": "files/read"}}),
    "required tool": chat(tools=[READ], tool_choice="required"),
    "no tool": chat(tools=[READ], tool_choice="none"),
    "calls without tools": chat(messages=HISTORY),
    "native format": chat(response_format=FORMAT),
    "format as a tool": chat(HAIKU, response_format=FORMAT),
    "thinking": chat(reasoning_effort="high", max_tokens=3000, temperature=0.2),
    "no room to think": chat(reasoning_effort="high", max_tokens=1000, temperature=0.2),
    "adaptive thinking": chat(ADAPTIVE, reasoning_effort="high", temperature=0.2),
    "model without sampling": chat(ADAPTIVE, temperature=0.2),
    "unknown model": chat(NEWEST, messages=[{"role": "user", "content": CANARY}]),
    "broken schema": chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": 5}}}]),
    "strange picture": chat(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"http://{CANARY}/"}}]}]
    ),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All cases, converted by the gateway's code in the gateway's environment; with what was printed."""
    lock = SERVICE / "requirements.lock"
    folder = environments.find_environment(find_cache_dir(os.environ), lock, {})
    environments.make_environment(folder, lock, {}, "", print)
    work = tmp_path_factory.mktemp("work")
    # LiteLLM would read this in any folder above the one that it runs in
    (work / ".env").write_text("ANTHROPIC_API_BASE=http://example.invalid\n", encoding="utf-8")
    done = subprocess.run(
        [str(folder / "bin" / "python"), str(PROGRAM)],
        input=json.dumps(CASES),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        cwd=work,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SERVICE), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"printed": done.stderr}


def sent(results: dict[str, Any], case: str) -> dict[str, Any]:
    """The body of a case; it must have been converted."""
    result: dict[str, Any] = results["converted"][case]
    assert "sent" in result, f"LiteLLM's AnthropicConfig no longer converts '{case}': {result}"
    body: dict[str, Any] = dict(result["sent"])
    assert body.pop("stream") is True
    return body


def test_it_is_imported_once_quietly_and_without_threads(results: dict[str, Any]) -> None:
    assert results["parts"] == ["AnthropicConfig", "_anthropic_tool_name_map", "json_tool_call"]
    assert results["again"] is True
    # the gateway's workers are forked after it
    assert results["threads"] == 0
    assert CANARY not in results["printed"]
    assert "litellm" not in results["printed"].lower(), results["printed"]


def test_plain_fields(results: dict[str, Any]) -> None:
    assert sent(results, "plain") == {
        "model": SONNET,
        "messages": ANSWERED,
        "max_tokens": 100,
        "temperature": 0.2,
        "stop_sequences": ["x"],
        "metadata": {"user_id": "u1"},
        "top_k": 3,
    }
    assert results["converted"]["plain"]["headers"] == {"anthropic-version": "2023-06-01"}


def test_the_length_that_anthropic_wants_is_always_there(results: dict[str, Any]) -> None:
    assert sent(results, "default length")["max_tokens"] >= 4096


def test_a_history_with_pictures_calls_and_results(results: dict[str, Any]) -> None:
    body = sent(results, "history")
    assert body["system"] == [{"type": "text", "text": "Be brief."}]
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                # left for Anthropic to fetch; the gateway never does
                {"type": "image", "source": {"type": "url", "url": "https://127.0.0.1:9/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "files_read", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "files_read", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    assert body["tools"][0]["input_schema"] == READ["function"]["parameters"]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_a_tools_name_that_anthropic_refuses_comes_back_as_it_was(results: dict[str, Any]) -> None:
    assert sent(results, "history")["tools"][0]["name"] == "files_read"
    assert results["converted"]["history"]["names"] == {"files_read": "files/read"}


@pytest.mark.parametrize(
    ("case", "choice"),
    [
        ("named tool", {"type": "tool", "name": "files_read"}),
        ("required tool", {"type": "any"}),
        ("no tool", {"type": "none"}),
        ("calls without tools", {"type": "none"}),  # of the tool that fills the hole
    ],
)
def test_the_choice_of_tools(results: dict[str, Any], case: str, choice: dict[str, Any]) -> None:
    assert sent(results, case)["tool_choice"] == choice


def test_a_response_format_is_native_where_the_model_has_one(results: dict[str, Any]) -> None:
    body = sent(results, "native format")
    assert "json_mode" not in body
    assert body["output_format"]["schema"]["properties"] == SCHEMA["properties"]
    assert results["converted"]["native format"]["headers"]["anthropic-beta"].startswith("structured-outputs-")
    assert results["converted"]["native format"]["json_tool"] == ""


def test_a_response_format_is_a_tool_where_the_model_has_none(results: dict[str, Any]) -> None:
    body = sent(results, "format as a tool")
    assert "json_mode" not in body
    assert [tool["name"] for tool in body["tools"]] == ["json_tool_call"]
    assert body["tool_choice"] == {"type": "tool", "name": "json_tool_call"}
    assert results["converted"]["format as a tool"]["json_tool"] == "json_tool_call"


def test_thinking_leaves_room_for_the_answer_and_stands_without_sampling(results: dict[str, Any]) -> None:
    body = sent(results, "thinking")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1500}
    assert "temperature" not in body
    assert {"thinking", "temperature"} & set(sent(results, "no room to think")) == {"temperature"}
    body = sent(results, "adaptive thinking")
    assert (body["thinking"]["type"], body["output_config"]) == ("adaptive", {"effort": "high"})


def test_it_knows_a_model_that_takes_no_sampling(results: dict[str, Any]) -> None:
    assert "temperature" not in sent(results, "model without sampling")


def test_a_model_that_it_does_not_know_is_asked_all_the_same(results: dict[str, Any]) -> None:
    assert sent(results, "unknown model")["model"] == NEWEST


@pytest.mark.parametrize("case", ["broken schema", "strange picture"])
def test_a_refusal_has_our_words(results: dict[str, Any], case: str) -> None:
    result = results["converted"][case]
    if "refused" in result:
        status, _, _, message = result["refused"]
        assert status == 400
        assert CANARY not in message
        assert "litellm" not in message.lower()
    else:
        assert case == "broken schema", result  # which is Anthropic's to refuse
