"""SDKs and agents of each wire format: each runs a tool call to its end through the gateway.

The agents get homes of their own and no key but the gateway's; what they print as JSON is read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Programs
from tests.clients.running import connect, link_packages, run, run_events, show
from tests.integration.stack_site import Site
from tests.tool_model import ANSWER

FOLDER = Path(__file__).parent
WIRES = "wires"
client = pytest.mark.client


@pytest.mark.parametrize("model", ["local-chat", "local-code"])
@pytest.mark.parametrize(
    ("program", "runs"),
    [
        pytest.param("openai", ["chat", "responses"], marks=client("openai-node")),
        pytest.param("anthropic", ["messages"], marks=client("anthropic-node")),
    ],
)
def test_an_sdk_for_node(
    site: Site, programs: Programs, tmp_path: Path, program: str, runs: list[str], model: str
) -> None:
    packages = programs(WIRES).parents[1]
    argv = ["node", str(FOLDER / f"{program}.mjs"), site.url, model, str(packages)]
    ended = run_events(site, argv, tmp_path, {})
    assert ended == [
        {"run": name, "streamed": streamed, "name": "weather", "input": {"city": ""}, "text": ANSWER}
        for name in runs
        for streamed in (False, True)
    ]


@pytest.mark.parametrize("tool", [pytest.param(name, marks=client(name)) for name in ("openai-node", "anthropic-node")])
def test_lines_for_node_run_as_they_are_printed(site: Site, programs: Programs, tmp_path: Path, tool: str) -> None:
    link_packages(programs(WIRES), tmp_path)
    (tmp_path / "lines.mjs").write_text(show(site, tool).text, encoding="utf-8")
    done = run(site, ["node", "lines.mjs"], tmp_path, {})
    assert (done.stdout.strip(), done.stderr) == (ANSWER, "")


@pytest.mark.parametrize(
    "tool", [pytest.param(name, marks=client(name)) for name in ("openai-python", "anthropic-python")]
)
def test_lines_for_python_run_as_they_are_printed(site: Site, tmp_path: Path, tool: str) -> None:
    (tmp_path / "lines.py").write_text(show(site, tool).text, encoding="utf-8")
    done = run(site, [sys.executable, "lines.py"], tmp_path, {})
    assert (done.stdout.strip(), done.stderr) == (ANSWER, "")


@client("curl")
def test_curl(site: Site, tmp_path: Path) -> None:
    done = run(site, ["sh", "-c", show(site, "curl").text], tmp_path, {})
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == ANSWER


@client("claude-code")
def test_claude_code(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "claude-code", tmp_path)
    argv = [
        str(programs(WIRES) / "claude"),
        "-p",
        "Read a file",
        "--allowedTools",
        "Read",
        "--output-format",
        "stream-json",
    ]
    events = run_events(site, [*argv, "--verbose"], tmp_path, {})
    blocks = [block for event in events if "message" in event for block in event["message"]["content"]]
    called = [block["name"] for block in blocks if block["type"] == "tool_use"]
    assert called == ["Read"]
    assert [block["type"] for block in blocks].count("tool_result") == 1
    assert (events[-1]["result"], events[-1]["is_error"]) == (ANSWER, False)


@client("codex")
def test_codex(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "codex", tmp_path)
    argv = [str(programs(WIRES) / "codex"), "exec", "--json", "--skip-git-repo-check", "Run something"]
    # The command that is run is empty, and the folder the test's own: no sandbox, which containers seldom allow.
    events = run_events(site, [*argv, "--sandbox", "danger-full-access"], tmp_path, {})
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    (command,) = (item for item in items if item["type"] == "command_execution")
    assert command["exit_code"] == 0
    assert [item["text"] for item in items if item["type"] == "agent_message"] == [ANSWER]
    assert events[-1]["type"] == "turn.completed"


@client("opencode")
def test_opencode(site: Site, programs: Programs, tmp_path: Path) -> None:
    connect(site, "opencode", tmp_path)
    events = run_events(
        site,
        [str(programs(WIRES) / "opencode"), "run", "--format", "json", "Read a file"],
        tmp_path,
        {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
    )
    parts = [event["part"] for event in events if "part" in event]
    (call,) = (part for part in parts if part["type"] == "tool")
    assert (call["tool"], call["state"]["status"]) == ("read", "completed")
    assert [part["text"] for part in parts if part["type"] == "text"] == [ANSWER]
