"""``stackctl agents`` at the real service: a run with a person's answers between, and what a failure leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.agents.service import GOOD_ANALYSIS, GOOD_QUESTIONS, GOOD_REQUIREMENTS, Agents, Upstream
from tests.integration.stack_site import Site, clean_environment
from tests.terminal import CTRL_C, run_at_terminal
from tests.waiting import DEADLINE_S

DEMO = "warning: local-chat: is the demo model"


@pytest.fixture
def site(scripted: Agents, tmp_path: Path) -> Iterator[Site]:
    """A site that is not started, and whose agents are the scripted ones."""
    made = Site.create(tmp_path / "site")
    made.configure(AGENTS_PORT=str(httpx.URL(scripted.url).port), GATEWAY_KEY=scripted.key)
    (made.path / "problem.md").write_text("보고서에 이틀이 걸립니다. {{ x }}\n", encoding="utf-8")
    yield made
    made.stop()


def test_a_run_waits_for_answers_and_goes_on_with_them(site: Site, upstream: Upstream) -> None:
    upstream.answer(GOOD_ANALYSIS, GOOD_QUESTIONS)

    first = site.run("agents", "run", "problem.md", "--language", "en")

    kept = site.path / "problem.md.run.json"
    assert "- **Q1** (required) Who?" in first.stdout
    assert "Answers are waited for" in first.stderr
    assert first.stderr.count(DEMO) == 1
    assert kept.stat().st_mode & 0o777 == 0o600
    run = json.loads(kept.read_text(encoding="utf-8"))
    run["answers"]["Q1"] = "회계팀"
    kept.write_text(json.dumps(run), encoding="utf-8")

    upstream.answer(GOOD_REQUIREMENTS)
    done = site.run_json("agents", "run", "problem.md")

    assert done["requirements"]["functions"][0]["id"] == "F1"
    assert done["calls"]["requirements"]["language"] == "en"
    (asked,) = upstream.asked
    assert '"Who?": "회계팀"' in asked["messages"][-1]["content"]
    again = site.run("agents", "run", "problem.md")
    assert "## Functions" in again.stdout
    assert DEMO not in again.stderr
    assert len(upstream.asked) == 1


def test_one_agent_after_the_other(site: Site, upstream: Upstream) -> None:
    refused = site.run("agents", "questions", "problem.md", code=3)
    assert "no analysis" in refused.stderr

    upstream.answer(GOOD_ANALYSIS, GOOD_QUESTIONS, GOOD_REQUIREMENTS)
    (site.path / "known.md").write_text("회계팀이 씁니다.", encoding="utf-8")
    known = ("--context", "known.md")
    assert site.run("agents", "analyze", "problem.md").stdout.startswith("# Monthly report")
    assert site.run_json("agents", "questions", "problem.md", *known)["questions"]["questions"][0]["id"] == "Q1"
    assert "회계팀이 씁니다." in upstream.asked[-1]["messages"][-1]["content"]
    assert "- **F1** (must) It writes the report." in site.run("agents", "requirements", "problem.md").stdout


def test_what_a_model_wrote_last_is_kept_beside_and_the_next_run_carries_on(site: Site, upstream: Upstream) -> None:
    upstream.answer(GOOD_ANALYSIS, "no", "no", "I would rather not.")

    failed = site.run("agents", "run", "problem.md", code=5)

    assert "answer_invalid" in failed.stderr
    assert "Traceback" not in failed.stderr
    raw = site.path / "problem.md.run.raw.txt"
    assert raw.read_text(encoding="utf-8") == "I would rather not."
    assert raw.stat().st_mode & 0o777 == 0o600
    upstream.answer({"known": [], "questions": []}, GOOD_REQUIREMENTS)
    assert "## " in site.run("agents", "run", "problem.md").stdout
    assert len(upstream.asked) == 2


def test_a_person_at_a_terminal_answers_stops_and_goes_on(site: Site, upstream: Upstream) -> None:
    """Ctrl-C at a question, and while a model writes, keeps what there is; each answer is asked for once."""
    command = [*site.command, "agents", "run", "problem.md", "--language", "en"]
    kept = site.path / "problem.md.run.json"
    where = {"text": "Where from?", "reason": "Access", "options": [], "is_required": False}
    upstream.answer(GOOD_ANALYSIS, {**GOOD_QUESTIONS, "questions": [*GOOD_QUESTIONS["questions"], where]})
    with run_at_terminal(command, site.path, clean_environment()) as terminal:
        terminal.wait_text("Q1: Who?")
        terminal.type("회계팀\n")
        terminal.wait_text("Q2: Where from?")
        terminal.type(CTRL_C)
        assert terminal.wait_end() == 130
        assert "Traceback" not in terminal.shown
    assert json.loads(kept.read_text(encoding="utf-8"))["answers"] == {"Q1": "회계팀", "Q2": ""}

    upstream.answer(GOOD_REQUIREMENTS)
    upstream.go.clear()
    with run_at_terminal(command, site.path, clean_environment()) as terminal:
        terminal.wait_text("Q2: Where from?")
        assert "Q1: Who?" not in terminal.shown
        terminal.type("ERP\n")
        terminal.wait_text("writing requirements: local-chat, for at most 600 s")
        terminal.wait_text(" s of at most 600 s, attempt 1 of 3")
        terminal.type(CTRL_C)
        assert terminal.wait_end() == 130
        assert "Traceback" not in terminal.shown
        assert terminal.shown.endswith("\r\x1b[Kinterrupted\n")
    assert upstream.left.wait(DEADLINE_S)
    upstream.answer(GOOD_REQUIREMENTS)
    with run_at_terminal(command, site.path, clean_environment()) as terminal:
        assert terminal.wait_end() == 0
        assert "## Functions" in terminal.shown
        assert "Where from?" in terminal.shown
    assert '"Where from?": "ERP"' in upstream.asked[-1]["messages"][-1]["content"]


def test_without_agents_the_next_step_is_named(site: Site) -> None:
    site.configure(AGENTS_PORT="1")

    failed = site.run("agents", "analyze", "problem.md", code=5)

    assert "put 'agents' into STACK_APPS" in failed.stderr
