"""SDKs and coding agents that are written for Node: each runs a tool call to its end through the gateway.

The agents get homes of their own and no key but the gateway's; what they print as JSON is read.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.stack_site import STACKCTL, Site, clean_environment
from tests.tool_model import ANSWER

FOLDER = Path(__file__).parent
TIMEOUT_S = 280.0

Events = list[dict[str, Any]]


def run(site: Site, argv: list[str], folder: Path, variables: Mapping[str, str]) -> Events:
    """Run a program in a folder that is its home too; the JSON lines of its output."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "STACK_KEY": site.keys["GATEWAY_KEY"], **variables}
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("model", ["local-chat", "local-code"])
@pytest.mark.parametrize(("program", "runs"), [("openai", ["chat", "responses"]), ("anthropic", ["messages"])])
def test_an_sdk_for_node(site: Site, programs: Path, tmp_path: Path, program: str, runs: list[str], model: str) -> None:
    packages = programs.parents[1]
    argv = ["node", str(FOLDER / f"{program}.mjs"), site.url, model, str(packages)]
    ended = run(site, argv, tmp_path, {})
    assert ended == [
        {"run": name, "streamed": streamed, "name": "weather", "input": {"city": ""}, "text": ANSWER}
        for name in runs
        for streamed in (False, True)
    ]


def connect(site: Site, tool: str, home: Path) -> None:
    """Write the tool's own file below a home of its own, as ``stackctl connect`` does."""
    done = subprocess.run(
        [*STACKCTL, "--site", str(site.path), "connect", tool, "--write"],
        env=clean_environment(HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tool", ["openai-node", "anthropic-node"])
def test_lines_for_node_run_as_they_are_printed(site: Site, programs: Path, tmp_path: Path, tool: str) -> None:
    (tmp_path / "node_modules").symlink_to(programs.parents[0])
    (parts,) = [json.loads(site.run("connect", tool, "--json").stdout)["parts"]]
    (tmp_path / "lines.mjs").write_text(parts[-1]["text"], encoding="utf-8")
    done = subprocess.run(
        ["node", "lines.mjs"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "STACK_KEY": site.keys["GATEWAY_KEY"]},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (ANSWER, "")


def test_claude_code(site: Site, programs: Path, tmp_path: Path) -> None:
    connect(site, "claude-code", tmp_path)
    argv = [str(programs / "claude"), "-p", "Read a file", "--allowedTools", "Read", "--output-format", "stream-json"]
    events = run(site, [*argv, "--verbose"], tmp_path, {})
    blocks = [block for event in events if "message" in event for block in event["message"]["content"]]
    called = [block["name"] for block in blocks if block["type"] == "tool_use"]
    assert called == ["Read"]
    assert [block["type"] for block in blocks].count("tool_result") == 1
    assert (events[-1]["result"], events[-1]["is_error"]) == (ANSWER, False)


def test_codex(site: Site, programs: Path, tmp_path: Path) -> None:
    connect(site, "codex", tmp_path)
    argv = [str(programs / "codex"), "exec", "--json", "--skip-git-repo-check", "Run something"]
    # The command that is run is empty, and the folder the test's own: no sandbox, which containers seldom allow.
    events = run(site, [*argv, "--sandbox", "danger-full-access"], tmp_path, {})
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    (command,) = (item for item in items if item["type"] == "command_execution")
    assert command["exit_code"] == 0
    assert [item["text"] for item in items if item["type"] == "agent_message"] == [ANSWER]
    assert events[-1]["type"] == "turn.completed"


def test_opencode(site: Site, programs: Path, tmp_path: Path) -> None:
    connect(site, "opencode", tmp_path)
    events = run(
        site,
        [str(programs / "opencode"), "run", "--format", "json", "Read a file"],
        tmp_path,
        {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
    )
    parts = [event["part"] for event in events if "part" in event]
    (call,) = (part for part in parts if part["type"] == "tool")
    assert (call["tool"], call["state"]["status"]) == ("read", "completed")
    assert [part["text"] for part in parts if part["type"] == "text"] == [ANSWER]
