"""Coding agents that speak chat completions: each runs a tool call to its end with what ``stackctl connect`` wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.conftest import Programs
from tests.clients.running import connect, run, run_events, set_up_llm, show
from tests.integration.stack_site import Site
from tests.tool_model import ANSWER

AGENTS = "agents"
client = pytest.mark.client


@client("qwen-code")
def test_qwen_code(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "qwen-code", tmp_path)
    argv = [str(programs(AGENTS) / "qwen"), "Read a file", "--output-format", "stream-json", "--yolo"]
    events = run_events(site, argv, tmp_path, {})
    blocks = [block for event in events if "message" in event for block in event["message"]["content"]]
    assert [block["type"] for block in blocks] == ["tool_use", "tool_result", "text"]
    assert (events[-1]["result"], events[-1]["is_error"]) == (ANSWER, False)


@client("continue")
def test_continue(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "continue", tmp_path)
    done = run(site, [str(programs(AGENTS) / "cn"), "-p", "Read a file", "--auto"], tmp_path, {})
    assert done.stdout.strip() == ANSWER
    (path,) = (path for path in (tmp_path / ".continue/sessions").iterdir() if path.name != "sessions.json")
    turns = json.loads(path.read_text(encoding="utf-8"))["history"]
    (call,) = (call for turn in turns for call in turn.get("toolCallStates", []))
    assert call["output"]
    assert turns[-1]["message"]["content"] == ANSWER


@client("pi")
def test_pi(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "pi", tmp_path)
    argv = [str(programs(AGENTS) / "pi"), "--provider", "stack", "--model", "local-chat", "-p", "--mode", "json"]
    events = run_events(site, [*argv, "Read a file"], tmp_path, {"PI_OFFLINE": "1"})
    (call,) = (event for event in events if event["type"] == "tool_execution_end")
    assert call["toolName"] == "read"
    texts = [part["text"] for part in events[-2]["messages"][-1]["content"] if part["type"] == "text"]
    assert texts == [ANSWER]


@client("cline")
def test_cline(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "cline", tmp_path)
    argv = [str(programs(AGENTS) / "cline"), "--json", "--auto-approve", "true", "Read a file"]
    # Else a server of its own stays behind.
    events = run_events(site, argv, tmp_path, {"CLINE_SESSION_BACKEND_MODE": "local"})
    calls = [event["event"] for event in events if event["type"] == "agent_event" and "toolName" in event["event"]]
    assert [call["type"] for call in calls] == ["content_start", "content_end"]
    (done,) = (event["event"] for event in events if event.get("event", {}).get("type") == "done")
    assert (done["reason"], done["text"]) == ("completed", ANSWER)


@client("aider")
def test_aider(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "aider", tmp_path)
    # The second file, whose first line says where it belongs.
    (tmp_path / ".aider.model.metadata.json").write_text(show(site, "aider").text, encoding="utf-8")
    argv = [
        str(programs("aider") / "aider"),
        "--message",
        "What is a mutex?",
        "--no-git",
        "--yes-always",
        "--no-pretty",
    ]
    done = run(site, argv, tmp_path, {})
    lines = done.stdout.splitlines()
    assert ANSWER in lines
    assert not [line for line in lines if "http" in line]  # it looked for nothing in the internet


@client("llm")
def test_llm(site: Site, programs: Programs, tmp_path: Path) -> None:
    llm = str(programs("llm") / "llm")
    set_up_llm(site, llm, tmp_path, show(site, "llm").text)
    assert run(site, [llm, "-m", "local-chat", "hello"], tmp_path, {}).stdout.strip() == ANSWER
    called = run(site, [llm, "-m", "local-chat", "-T", "llm_version", "--td", "hello"], tmp_path, {})
    assert called.stdout.strip() == ANSWER
    assert "Tool call: llm_version" in called.stderr
