"""Where each tool that is tested comes from, and at which version."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.clients.environment import FOLDER

DEVELOPMENT = Path(__file__).parents[2] / "requirements-dev.lock"
# Tool of `stackctl connect` to its environment and package; "" is the development environment. curl is the system's.
PINS = {
    "claude-code": ("wires", "@anthropic-ai/claude-code"),
    "codex": ("wires", "@openai/codex"),
    "opencode": ("wires", "opencode-ai"),
    "qwen-code": ("agents", "@qwen-code/qwen-code"),
    "cline": ("agents", "cline"),
    "continue": ("agents", "@continuedev/cli"),
    "pi": ("agents", "@earendil-works/pi-coding-agent"),
    "aider": ("aider", "aider-chat"),
    "llm": ("llm", "llm"),
    "promptfoo": ("promptfoo", "promptfoo"),
    "openai-python": ("", "openai"),
    "anthropic-python": ("", "anthropic"),
    "openai-node": ("wires", "openai"),
    "anthropic-node": ("wires", "@anthropic-ai/sdk"),
    "langchain": ("langchain", "langchain-openai"),
    "langgraph": ("langchain", "langgraph"),
    "llamaindex": ("llamaindex", "llama-index-llms-openai-like"),
    "ai-sdk": ("ai-sdk", "ai"),
    "litellm": ("litellm", "litellm"),
}


def find_version(tool: str) -> str:
    """The version that a tool is pinned to; of curl, the one that is here."""
    if tool == "curl":
        return subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    environment, package = PINS[tool]
    manifest = FOLDER / environment / "package.json"
    if environment and manifest.is_file():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["dependencies"][package])
    lock = FOLDER / environment / "requirements.lock" if environment else DEVELOPMENT
    found = re.search(rf"^{re.escape(package)}==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"{lock} names no {package}"
    return found[1]
