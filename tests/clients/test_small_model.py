"""SDKs and ``llm`` ask a real model, SmolLM2-135M, one plain question, with what ``stackctl connect`` prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Programs
from tests.clients.running import link_packages, run, set_up_llm, show
from tests.integration.stack_site import Site

# It knows little, and goes on without end about much else.
QUESTION, KNOWN = "Name the capital city of France.", "Paris"
PRINTED_QUESTION = '"Hello"'
client = pytest.mark.client


def write_lines(site: Site, tool: str, path: Path) -> None:
    """The lines that are printed, with our question in the place of theirs."""
    text = show(site, tool).text
    assert text.count(PRINTED_QUESTION) == 1
    path.write_text(text.replace(PRINTED_QUESTION, json.dumps(QUESTION)), encoding="utf-8")


@pytest.mark.parametrize(
    "tool", [pytest.param(name, marks=client(name)) for name in ("openai-python", "anthropic-python")]
)
def test_an_sdk_for_python(real_site: Site, tmp_path: Path, tool: str) -> None:
    write_lines(real_site, tool, tmp_path / "lines.py")
    assert KNOWN in run(real_site, [sys.executable, "lines.py"], tmp_path, {}).stdout


@pytest.mark.parametrize("tool", [pytest.param(name, marks=client(name)) for name in ("openai-node", "anthropic-node")])
def test_an_sdk_for_node(real_site: Site, programs: Programs, tmp_path: Path, tool: str) -> None:
    link_packages(programs("wires"), tmp_path)
    write_lines(real_site, tool, tmp_path / "lines.mjs")
    assert KNOWN in run(real_site, ["node", "lines.mjs"], tmp_path, {}).stdout


@client("llm")
def test_llm(real_site: Site, programs: Programs, tmp_path: Path) -> None:
    llm = str(programs("llm") / "llm")
    set_up_llm(real_site, llm, tmp_path, show(real_site, "llm").text)
    assert KNOWN in run(real_site, [llm, "-m", "local-chat", QUESTION], tmp_path, {}).stdout
