"""A run's file: what is carried on, what is refused, and how results are shown."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stackctl.core.agents.replies import AgentRefusal, describe_progress, parse_reply
from stackctl.core.agents.run import (
    ANALYSIS,
    QUESTIONS,
    REQUIREMENTS,
    STEPS,
    AgentRun,
    begin_run,
    parse_context,
    parse_run,
    render_run,
)
from stackctl.core.agents.show import render_markdown
from stackctl.core.stack.runtime import Answer
from stackctl.errors import ConfigError

PROBLEM = "Reports take two days."
CALL = {"model": "m", "attempts": 2, "prompt_tokens": 3, "completion_tokens": 4, "time_s": 1.5, "language": "en"}
ASKED = {
    "known": [],
    "questions": [{"id": "Q1", "text": "Who?", "reason": "Rights", "options": [], "is_required": True}],
}


def build_run() -> AgentRun:
    run = begin_run(PROBLEM).add_result(ANALYSIS, {"title": "T\n# not a heading", "goals": ["g"]}, CALL)
    return run.add_result(QUESTIONS, ASKED, CALL)


def test_a_run_comes_back_as_it_was_written() -> None:
    run = build_run().add_answer("Q1", "회계팀").add_result(REQUIREMENTS, {"title": "R", "functions": []}, CALL)

    assert parse_run(render_run(run), PROBLEM, "f") == run


def test_a_persons_answers_go_to_the_requirements_under_their_questions() -> None:
    run = build_run()

    assert [one["id"] for one in run.unanswered] == ["Q1"]
    assert run.add_answer("Q1", " \n").unanswered
    assert run.add_answer("Q1", "회계팀").build_body(REQUIREMENTS, PROBLEM)["context"] == {"Who?": "회계팀"}


def test_what_is_known_beforehand_goes_to_questions_and_requirements_and_stays() -> None:
    run = replace(build_run(), context={"context": "Accounting reads it."}).add_answer("Q1", "회계팀")

    assert run.build_body(QUESTIONS, PROBLEM)["context"] == {"context": "Accounting reads it."}
    assert run.build_body(REQUIREMENTS, PROBLEM)["context"] == {"context": "Accounting reads it.", "Who?": "회계팀"}
    assert parse_run(render_run(run), PROBLEM, "f").context == run.context


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 회계팀이 씁니다.\n", {"context": "회계팀이 씁니다."}),
        ('{"Who?": "회계팀"}', {"Who?": "회계팀"}),
        ("[draft] as it is", {"context": "[draft] as it is"}),
    ],
)
def test_a_context_is_a_text_or_an_object_of_answers(text: str, expected: dict[str, str]) -> None:
    assert parse_context(text, "known.md") == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "has no answers"),
        ("{}", "has no answers"),
        ('{"Who?": 7}', "one that is no text"),
        ('{"Who?": " "}', "has no answers"),
        ('{"Who?": ', "begins as JSON and is none"),
        ("x" * 4001, "the longest of 4001 characters"),
        (json.dumps({str(number): "x" for number in range(51)}), "has 51 answers"),
    ],
)
def test_a_context_that_the_agents_would_not_take_is_refused(text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part) as raised:
        parse_context(text, "known.md")

    assert "write a text" in raised.value.hint


def test_what_was_made_of_an_older_result_goes_with_it() -> None:
    run = build_run().add_answer("Q1", "x").add_result(REQUIREMENTS, {"title": "R"}, CALL)

    anew = run.add_result(ANALYSIS, {"title": "other"}, CALL)

    assert (anew.questions, anew.requirements, anew.answers) == (None, None, {})
    assert set(anew.calls) == {ANALYSIS}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "is no run of the agents"),
        ("[]", "is no run of the agents"),
        ('{"problem_sha256": "x", "more": 1}', "is no run of the agents"),
        (render_run(build_run()).replace('"Who?"', "7"), "is no run of the agents"),
        (render_run(build_run()).replace('"version": 1', '"version": 2'), "of another version"),
        (render_run(begin_run("another text")), "has changed since"),
    ],
)
def test_a_file_that_cannot_be_carried_on_is_refused(text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part) as raised:
        parse_run(text, PROBLEM, "FILE.run.json")

    assert "--anew" in raised.value.hint


@pytest.mark.parametrize("text", ["", " \n", "x" * 20_001])
def test_a_problem_has_words_and_not_too_many(text: str) -> None:
    with pytest.raises(ConfigError, match="expected 1 to 20000"):
        begin_run(text)


def test_there_are_no_questions_before_an_analysis() -> None:
    with pytest.raises(ConfigError, match="no analysis"):
        begin_run(PROBLEM).build_body(QUESTIONS, PROBLEM)


def test_markdown_has_every_result_and_a_models_text_begins_no_heading() -> None:
    text = render_markdown(build_run().add_answer("Q1", "회계팀"), STEPS)

    assert "# T # not a heading" in text
    assert "- **Q1** (required) Who?" in text
    assert "**Answer**: 회계팀" in text
    assert "<!-- m, 2 x, 7 tokens, 1.5 s -->" in text


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        (Answer(0, error="refused"), "do not answer: refused", "STACK_APPS"),
        (Answer(502, body="<html>"), "is not the agents: status 502", "AGENTS_PORT"),
        (Answer(401, body='{"code": "key_refused", "title": "No."}'), "refused (key_refused): No.", "GATEWAY_KEY"),
        (Answer(200, body='{"result": 7}'), "is not the agents", "AGENTS_PORT"),
    ],
)
def test_a_refusal_says_what_is_next(answer: Answer, message: str, hint: str) -> None:
    with pytest.raises(AgentRefusal) as raised:
        parse_reply(answer, "http://h")

    assert message in raised.value.message
    assert hint in raised.value.hint


def test_how_far_a_call_is_is_told_where_the_agents_say_it() -> None:
    facts = {"attempts": 0, "max_attempts": 3, "prompt_tokens": 0, "completion_tokens": 0}
    again = {**facts, "attempts": 1, "prompt_tokens": 590, "completion_tokens": 462}

    assert describe_progress(Answer(200, json.dumps(facts))) == ", attempt 1 of 3"
    assert describe_progress(Answer(200, json.dumps(again))) == ", attempt 2 of 3, 1052 tokens in those before"
    for silent in (Answer(404, '{"code": "not_found"}'), Answer(0, error="refused"), Answer(200, "[]")):
        assert describe_progress(silent) == ""


def test_the_raw_answer_comes_along() -> None:
    problem: dict[str, Any] = {"code": "answer_invalid", "title": "t", "raw_answer": "what it wrote"}
    with pytest.raises(AgentRefusal) as raised:
        parse_reply(Answer(502, body=json.dumps(problem)), "http://h")

    assert raised.value.raw_answer == "what it wrote"


def test_no_answer_is_lost_where_a_model_asks_one_thing_twice() -> None:
    asked = [{"id": f"Q{at}", "text": "Who?", "reason": "x", "options": [], "is_required": True} for at in (1, 2)]
    run = AgentRun("", analysis={}, questions={"questions": asked}, answers={"Q1": "Accounting", "Q2": "Sales"})

    assert run.build_body(REQUIREMENTS, "")["context"] == {"Who?": "Accounting\nSales"}
