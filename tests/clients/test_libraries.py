"""Libraries: the lines that ``stackctl connect`` prints run as they are, and print nothing but the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.conftest import Programs
from tests.clients.running import link_packages, run, show
from tests.integration.stack_site import Site
from tests.tool_model import ANSWER

client = pytest.mark.client
# Sends one question by the provider of Anthropic's format: BASE_URL with /v1, MODEL.
ANTHROPIC = """\
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateText } from "ai";

const [baseURL, model] = process.argv.slice(2);
const stack = createAnthropic({ baseURL, apiKey: process.env.STACK_KEY });
const { text } = await generateText({ model: stack(model), prompt: "Hello" });
console.log(text);
"""


@pytest.mark.parametrize(
    ("tool", "environment", "has_vectors"),
    [
        pytest.param("langchain", "langchain", True, marks=client("langchain")),
        pytest.param("langgraph", "langchain", False, marks=client("langgraph")),
        pytest.param("llamaindex", "llamaindex", True, marks=client("llamaindex")),
        pytest.param("litellm", "litellm", False, marks=client("litellm")),
    ],
)
def test_python(
    site: Site, programs: Programs, tmp_path: Path, tool: str, environment: str, *, has_vectors: bool
) -> None:
    printed = show(site, tool)
    (tmp_path / "lines.py").write_text(printed.text, encoding="utf-8")
    done = run(site, [str(programs(environment) / "python"), "lines.py"], tmp_path, printed.variables)
    answer, *vectors = done.stdout.splitlines()
    assert (answer, done.stderr) == (ANSWER, "")
    assert [int(length) > 0 for length in vectors] == [True] * has_vectors


@client("ai-sdk")
def test_ai_sdk(site: Site, programs: Programs, tmp_path: Path) -> None:
    link_packages(programs("ai-sdk"), tmp_path)
    (tmp_path / "lines.mjs").write_text(show(site, "ai-sdk").text, encoding="utf-8")
    (tmp_path / "anthropic.mjs").write_text(ANTHROPIC, encoding="utf-8")
    for argv in (["lines.mjs"], ["anthropic.mjs", f"{site.url}/v1", "local-chat"]):
        assert run(site, ["node", *argv], tmp_path, {}).stdout.strip() == ANSWER


@client("promptfoo")
def test_promptfoo(site: Site, programs: Programs, tmp_path: Path) -> None:
    printed = show(site, "promptfoo")
    cases = f"prompts: [Hello]\ntests:\n  - assert:\n      - {{type: equals, value: {ANSWER}}}\n"
    (tmp_path / "promptfooconfig.yaml").write_text(printed.text + cases, encoding="utf-8")
    run(site, [str(programs("promptfoo") / "promptfoo"), "eval", "--output", "out.json"], tmp_path, printed.variables)
    results = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["results"]
    assert (results["stats"]["successes"], results["stats"]["failures"]) == (1, 0)
    assert [result["response"]["output"] for result in results["results"]] == [ANSWER]
