"""Clients at the gateway by TLS, under an authority of the site's own: each trusts it as ``stackctl connect`` says.

Caddy stands in front as ``stackctl lan enable`` puts it there; no client knows the authority from its system.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import Programs
from tests.clients.running import Printed, link_packages, read_printed, run, run_connect, set_up_llm
from tests.integration.stack_site import Site
from tests.ports import claim_ports
from tests.programs import require_program
from tests.tool_model import ANSWER

# Continue asks the address where it is told this name.
NAME, ADDRESS = "localhost", "127.0.0.1"
# The variable that a client is started with, as the note says it.
TOLD = re.compile(r"it trusts this certificate with (\w+)=(\S+) in the shell")
# Client to its environment and its arguments; each asks once and ends. Their files are written by `connect`.
AGENTS = {
    "claude-code": ("wires", "claude", "-p", "Read a file", "--allowedTools", "Read"),
    "codex": ("wires", "codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "Run something"),
    "opencode": ("wires", "opencode", "run", "Read a file"),
    "qwen-code": ("agents", "qwen", "Read a file", "--yolo"),
    "continue": ("agents", "cn", "-p", "Read a file", "--auto"),
    "pi": ("agents", "pi", "--provider", "stack", "--model", "local-chat", "-p", "Read a file"),
    "cline": ("agents", "cline", "--json", "--auto-approve", "true", "Read a file"),
    "aider": ("aider", "aider", "--message", "What is a mutex?", "--no-git", "--yes-always", "--no-pretty"),
}
QUIET = {
    "CLINE_SESSION_BACKEND_MODE": "local",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "PI_OFFLINE": "1",
}
LIBRARIES = {
    "openai-python": "",
    "anthropic-python": "",
    "langchain": "langchain",
    "langgraph": "langchain",
    "llamaindex": "llamaindex",
    "litellm": "litellm",
}


@dataclass(frozen=True)
class Tls:
    """The site's gateway as other machines reach it."""

    site: Site
    url: str
    authority: str

    def connect(self, tool: str, home: Path, *options: str) -> tuple[str, dict[str, str]]:
        """What ``stackctl connect`` prints for it, and the variable that it names for the authority, if any."""
        arguments = (tool, "--url", self.url, "--key-file", "-", *options)
        key = self.site.keys["GATEWAY_KEY"]
        done = run_connect(self.site, home, *arguments, stdin=key, SSL_CERT_FILE=self.authority)
        told = TOLD.search(done.stderr)
        if f"its own file names {self.authority}" in done.stderr:
            return done.stdout, {}
        assert told, done.stderr
        assert told[2] == self.authority
        return done.stdout, {told[1]: told[2]}

    def show(self, tool: str, home: Path) -> tuple[Printed, dict[str, str]]:
        """The same, of a tool that is told by lines."""
        text, trusting = self.connect(tool, home, "--json", "--reveal")
        return read_printed(text), trusting


@pytest.fixture(scope="module")
def tls(site: Site) -> Iterator[Tls]:
    """Caddy in front of the shared site, as long as this file runs."""
    require_program("caddy", "caddy")
    port, *_ = claim_ports()
    site.run("lan", "enable", "--name", NAME, "--name", ADDRESS, "--port", str(port), "--address", ADDRESS)
    yield Tls(site, f"https://{NAME}:{port}", str(site.state / "lan" / "ca.pem"))
    site.run("lan", "disable")


@pytest.mark.parametrize("tool", [pytest.param(name, marks=pytest.mark.client(name)) for name in AGENTS])
def test_an_agent(tls: Tls, programs: Programs, tmp_path: Path, tool: str) -> None:
    environment, program, *arguments = AGENTS[tool]
    _, trusting = tls.connect(tool, tmp_path, "--write")
    done = run(tls.site, [str(programs(environment) / program), *arguments], tmp_path, QUIET | trusting)
    assert ANSWER in done.stdout


@pytest.mark.parametrize("tool", [pytest.param(name, marks=pytest.mark.client(name)) for name in LIBRARIES])
def test_a_library_for_python(tls: Tls, programs: Programs, tmp_path: Path, tool: str) -> None:
    printed, trusting = tls.show(tool, tmp_path)
    python = str(programs(LIBRARIES[tool]) / "python") if LIBRARIES[tool] else sys.executable
    (tmp_path / "lines.py").write_text(printed.text, encoding="utf-8")
    assert ANSWER in run(tls.site, [python, "lines.py"], tmp_path, {**printed.variables, **trusting}).stdout


@pytest.mark.parametrize(
    ("tool", "environment"),
    [
        pytest.param("openai-node", "wires", marks=pytest.mark.client("openai-node")),
        pytest.param("anthropic-node", "wires", marks=pytest.mark.client("anthropic-node")),
        pytest.param("ai-sdk", "ai-sdk", marks=pytest.mark.client("ai-sdk")),
    ],
)
def test_a_library_for_node(tls: Tls, programs: Programs, tmp_path: Path, tool: str, environment: str) -> None:
    printed, trusting = tls.show(tool, tmp_path)
    link_packages(programs(environment), tmp_path)
    (tmp_path / "lines.mjs").write_text(printed.text, encoding="utf-8")
    assert ANSWER in run(tls.site, ["node", "lines.mjs"], tmp_path, trusting).stdout


@pytest.mark.client("llm")
def test_llm(tls: Tls, programs: Programs, tmp_path: Path) -> None:
    printed, trusting = tls.show("llm", tmp_path)
    llm = str(programs("llm") / "llm")
    set_up_llm(tls.site, llm, tmp_path, printed.text)
    assert run(tls.site, [llm, "-m", "local-chat", "hello"], tmp_path, trusting).stdout.strip() == ANSWER


@pytest.mark.client("promptfoo")
def test_promptfoo(tls: Tls, programs: Programs, tmp_path: Path) -> None:
    printed, trusting = tls.show("promptfoo", tmp_path)
    cases = f"prompts: [Hello]\ntests:\n  - assert:\n      - {{type: equals, value: {ANSWER}}}\n"
    (tmp_path / "promptfooconfig.yaml").write_text(printed.text + cases, encoding="utf-8")
    run(tls.site, [str(programs("promptfoo") / "promptfoo"), "eval"], tmp_path, {**printed.variables, **trusting})


@pytest.mark.client("curl")
def test_curl(tls: Tls, tmp_path: Path) -> None:
    printed, trusting = tls.show("curl", tmp_path)
    assert ANSWER in run(tls.site, ["sh", "-c", printed.text], tmp_path, {**printed.variables, **trusting}).stdout


@pytest.mark.client("curl")
def test_who_is_told_nothing_refuses_it(tls: Tls, tmp_path: Path) -> None:
    printed, _ = tls.show("curl", tmp_path)
    with pytest.raises(AssertionError, match="certificate"):
        run(tls.site, ["sh", "-c", printed.text], tmp_path, printed.variables)
